"""Plain pages that directors serve under `/publish` and `/play`: a camera (`publish.html`), a player (`play.html`)."""

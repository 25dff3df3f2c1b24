"""Plain pages: a camera (`publish.html`) and a player (`play.html`), served by directors under `/publish` and `/play`."""

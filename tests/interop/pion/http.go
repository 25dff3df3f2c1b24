package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	httpTimeout = 10 * time.Second
	longestBody = 64 * 1024
)

// post sends an offer; it returns the answer and the session's URL.
func post(ctx context.Context, endpoint, token, offer string) (answer, session string, err error) {
	response, body, err := send(ctx, http.MethodPost, endpoint, token, offer)
	if err != nil {
		return "", "", err
	}
	if response.StatusCode != http.StatusCreated {
		return "", "", fmt.Errorf("POST %s: %s: %s", endpoint, response.Status, body)
	}
	base, err := url.Parse(endpoint)
	if err != nil {
		return "", "", err
	}
	location, err := base.Parse(response.Header.Get("Location"))
	if err != nil {
		return "", "", err
	}
	return body, location.String(), nil
}

// end deletes a session.
func end(session, token string) error {
	if session == "" {
		return nil
	}
	response, body, err := send(context.Background(), http.MethodDelete, session, token, "")
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("DELETE %s: %s: %s", session, response.Status, body)
	}
	return nil
}

func send(ctx context.Context, method, endpoint, token, body string) (*http.Response, string, error) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, endpoint, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/sdp")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, longestBody))
	return response, string(text), err
}

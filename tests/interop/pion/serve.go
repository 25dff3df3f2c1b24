package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
)

// server is a WHEP server of one stream, the same for whoever asks.
type server struct {
	options
	ctx          context.Context
	video, audio *webrtc.TrackLocalStaticSample
	lock         sync.Mutex
	sessions     map[string]*webrtc.PeerConnection
}

// serve plays two files to viewers until it is told to end. Each session is said when it begins and when its viewer deletes it.
func serve(ctx context.Context, o options) error {
	mime, next, err := videoFile(o.video)
	if err != nil {
		return err
	}
	pages, err := again(o.audio, oggPages)
	if err != nil {
		return err
	}
	s := &server{options: o, ctx: ctx, sessions: map[string]*webrtc.PeerConnection{}}
	if s.video, err = sample(mime, "video"); err != nil {
		return err
	}
	if s.audio, err = sample(webrtc.MimeTypeOpus, "audio"); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.url)
	if err != nil {
		return err
	}
	var sent [2]atomic.Int64
	problems := make(chan error, 3)
	go func() { problems <- pace(ctx, s.video, next, frameTime, &sent[0]) }()
	go func() { problems <- pace(ctx, s.audio, pages, pageTime, &sent[1]) }()
	front := &http.Server{Handler: s, ReadHeaderTimeout: httpTimeout}
	go func() { problems <- front.Serve(listener) }()
	if err := say(map[string]any{"listening": listener.Addr().String()}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-problems:
	}
	return errors.Join(err, front.Close(), s.end())
}

func (s *server) end() (err error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, peer := range s.sessions {
		err = errors.Join(err, peer.Close())
	}
	return err
}

// ServeHTTP: POST /whep/NAME, DELETE /session/ID.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	session, deletes := strings.CutPrefix(r.URL.Path, "/session/")
	switch {
	case deletes && r.Method == http.MethodDelete:
		s.deleted(w, session)
	case strings.HasPrefix(r.URL.Path, "/whep/") && r.Method == http.MethodPost:
		s.posted(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *server) posted(w http.ResponseWriter, r *http.Request) {
	offer, err := io.ReadAll(io.LimitReader(r.Body, longestBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	peer, answer, err := s.answer(string(offer))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name := make([]byte, 8)
	_, _ = rand.Read(name) // never fails (crypto/rand)
	session := hex.EncodeToString(name)
	s.lock.Lock()
	s.sessions[session] = peer
	s.lock.Unlock()
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", "/session/"+session)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer)
	_ = say(map[string]any{"session": session, "authorization": r.Header.Get("Authorization") != ""})
}

func (s *server) answer(offer string) (peer *webrtc.PeerConnection, answer string, err error) {
	if peer, err = connection(s.options); err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			_ = peer.Close()
		}
	}()
	for _, track := range []*webrtc.TrackLocalStaticSample{s.video, s.audio} {
		sender, err := peer.AddTrack(track)
		if err != nil {
			return nil, "", err
		}
		go read(sender)
	}
	description := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}
	if err = peer.SetRemoteDescription(description); err != nil {
		return nil, "", err
	}
	description, err = peer.CreateAnswer(nil)
	if err != nil {
		return nil, "", err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err = peer.SetLocalDescription(description); err != nil {
		return nil, "", err
	}
	select {
	case <-gathered:
		return peer, peer.LocalDescription().SDP, nil
	case <-time.After(httpTimeout):
		return nil, "", errors.New("no candidates in time")
	}
}

func (s *server) deleted(w http.ResponseWriter, session string) {
	s.lock.Lock()
	peer := s.sessions[session]
	delete(s.sessions, session)
	s.lock.Unlock()
	if peer == nil {
		http.Error(w, "no such session", http.StatusNotFound)
		return
	}
	_ = peer.Close()
	w.WriteHeader(http.StatusOK)
	_ = say(map[string]any{"deleted": session})
}

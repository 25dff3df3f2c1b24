package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/h264writer"
	"github.com/pion/webrtc/v4/pkg/media/ivfwriter"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

// writer takes the packets of one track into a file.
type writer interface {
	WriteRTP(packet *rtp.Packet) error
	Close() error
}

// received is what came on one track.
type received struct {
	Codec   string  `json:"codec"`
	File    string  `json:"file"`
	Packets int     `json:"packets"`
	Frames  int     `json:"frames"`
	FirstMs float64 `json:"first_ms"`
}

func play(ctx context.Context, o options) error {
	peer, err := connection(o)
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var readers sync.WaitGroup
	var lock sync.Mutex
	tracks := map[string]*received{}
	var problems []error
	peer.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		readers.Go(func() {
			seen, err := receive(track, o.write, began)
			lock.Lock()
			defer lock.Unlock()
			tracks[track.Kind().String()] = seen
			problems = append(problems, err)
		})
	})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		direction := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		if _, err = peer.AddTransceiverFromKind(kind, direction); err != nil {
			return err
		}
	}
	session, err := connect(ctx, peer, o)
	if err == nil {
		wait(ctx, o.seconds)
	}
	err = errors.Join(err, end(session, o.token), peer.Close())
	readers.Wait()
	lock.Lock()
	defer lock.Unlock()
	return errors.Join(append(problems, err, say(map[string]any{"tracks": tracks}))...)
}

func receive(track *webrtc.TrackRemote, folder string, began time.Time) (*received, error) {
	seen := &received{Codec: track.Codec().MimeType}
	into, err := file(seen, folder)
	if err != nil {
		return seen, err
	}
	for {
		packet, _, err := track.ReadRTP()
		if err != nil { // the connection was closed: the end of what is received
			return seen, into.Close()
		}
		if seen.Packets == 0 {
			seen.FirstMs = milliseconds(time.Since(began))
		}
		seen.Packets++
		if packet.Marker {
			seen.Frames++
		}
		if err := into.WriteRTP(packet); err != nil {
			return seen, errors.Join(err, into.Close())
		}
	}
}

func file(seen *received, folder string) (writer, error) {
	switch seen.Codec {
	case webrtc.MimeTypeH264:
		seen.File = filepath.Join(folder, "video.h264")
		return h264writer.New(seen.File)
	case webrtc.MimeTypeVP8:
		seen.File = filepath.Join(folder, "video.ivf")
		return ivfwriter.New(seen.File)
	case webrtc.MimeTypeOpus:
		seen.File = filepath.Join(folder, "audio.ogg")
		return oggwriter.New(seen.File, 48_000, 2)
	}
	return nil, fmt.Errorf("no file for %s", seen.Codec)
}

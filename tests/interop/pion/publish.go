package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/h264reader"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

const (
	frameTime = time.Second / 30
	pageTime  = 20 * time.Millisecond
	lastSlice = 5 // NAL unit types 1 to 5 are slices
)

// frames gives the next frame of a file, again from the start after the end.
type frames func() ([]byte, error)

func publish(ctx context.Context, o options) error {
	mime, next, err := videoFile(o.video)
	if err != nil {
		return err
	}
	pages, err := again(o.audio, oggPages)
	if err != nil {
		return err
	}
	peer, err := connection(o)
	if err != nil {
		return err
	}
	defer peer.Close()
	video, err := sendonly(peer, mime, "video")
	if err != nil {
		return err
	}
	audio, err := sendonly(peer, webrtc.MimeTypeOpus, "audio")
	if err != nil {
		return err
	}
	session, err := connect(ctx, peer, o)
	if err != nil {
		return errors.Join(err, end(session, o.token))
	}
	ctx, stop := context.WithTimeout(ctx, time.Duration(o.seconds*float64(time.Second)))
	defer stop()
	var sent [2]atomic.Int64
	var both sync.WaitGroup
	problems := make([]error, 2)
	both.Go(func() { problems[0] = pace(ctx, video, next, frameTime, &sent[0]) })
	both.Go(func() { problems[1] = pace(ctx, audio, pages, pageTime, &sent[1]) })
	both.Wait()
	line := map[string]any{"video_frames_sent": sent[0].Load(), "audio_frames_sent": sent[1].Load()}
	return errors.Join(problems[0], problems[1], say(line), end(session, o.token))
}

func sendonly(peer *webrtc.PeerConnection, mime, kind string) (*webrtc.TrackLocalStaticSample, error) {
	track, err := sample(mime, kind)
	if err != nil {
		return nil, err
	}
	direction := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
	transceiver, err := peer.AddTransceiverFromTrack(track, direction)
	if err != nil {
		return nil, err
	}
	go read(transceiver.Sender())
	return track, nil
}

func sample(mime, kind string) (*webrtc.TrackLocalStaticSample, error) {
	return webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, kind, "pion")
}

// read: interceptors see reports and requests only if somebody reads.
func read(sender *webrtc.RTPSender) {
	buffer := make([]byte, 1500)
	for {
		if _, _, err := sender.Read(buffer); err != nil {
			return
		}
	}
}

func pace(
	ctx context.Context, track *webrtc.TrackLocalStaticSample, next frames, each time.Duration, sent *atomic.Int64,
) error {
	ticker := time.NewTicker(each)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		frame, err := next()
		if err != nil {
			return err
		}
		if err := track.WriteSample(media.Sample{Data: frame, Duration: each}); err != nil {
			return err
		}
		sent.Add(1)
	}
}

func videoFile(path string) (mime string, next frames, err error) {
	switch filepath.Ext(path) {
	case ".h264":
		next, err = again(path, h264Frames)
		return webrtc.MimeTypeH264, next, err
	case ".ivf":
		next, err = again(path, ivfFrames)
		return webrtc.MimeTypeVP8, next, err
	}
	return "", nil, fmt.Errorf("%s: neither .h264 nor .ivf", path)
}

// again reads a file round and round.
func again(path string, open func(io.Reader) (frames, error)) (frames, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	next, err := open(file)
	return func() ([]byte, error) {
		frame, err := next()
		if !errors.Is(err, io.EOF) {
			return frame, err
		}
		if _, err = file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		if next, err = open(file); err != nil {
			return nil, err
		}
		return next()
	}, err
}

// h264Frames: a slice ends a frame (the files of the tests have one slice each), what stands before belongs to it.
func h264Frames(from io.Reader) (frames, error) {
	reader, err := h264reader.NewReader(from)
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		var frame []byte
		for {
			unit, err := reader.NextNAL()
			if err != nil {
				return nil, err
			}
			frame = append(append(frame, 0, 0, 0, 1), unit.Data...)
			if unit.UnitType >= 1 && unit.UnitType <= lastSlice {
				return frame, nil
			}
		}
	}, nil
}

func ivfFrames(from io.Reader) (frames, error) {
	reader, _, err := ivfreader.NewWith(from)
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		frame, _, err := reader.ParseNextFrame()
		return frame, err
	}, nil
}

func oggPages(from io.Reader) (frames, error) {
	reader, _, err := oggreader.NewWith(from)
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		for {
			page, header, err := reader.ParseNextPage()
			if err != nil || header.GranulePosition != 0 { // the comment page has position 0
				return page, err
			}
		}
	}, nil
}

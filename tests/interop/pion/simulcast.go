package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

const (
	videoClock = 90_000
	longest    = 1_200
	midURI     = "urn:ietf:params:rtp-hdrext:sdes:mid"
	ridURI     = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
)

// layer is one encoding of the picture, from a file of its own.
type layer struct {
	rid    string
	next   frames
	track  *webrtc.TrackLocalStaticRTP
	packer rtp.Packetizer
	sent   atomic.Int64
}

// layers are written RID=FILE,RID=FILE,…; all of VP8.
func layersOf(option string) ([]*layer, error) {
	var all []*layer
	for _, word := range strings.Split(option, ",") {
		rid, path, named := strings.Cut(word, "=")
		if !named {
			return nil, fmt.Errorf("-layers: %q is no RID=FILE", word)
		}
		mime, next, err := videoFile(path)
		if err != nil {
			return nil, err
		}
		capability := webrtc.RTPCodecCapability{MimeType: mime}
		track, err := webrtc.NewTrackLocalStaticRTP(capability, "video", "pion", webrtc.WithRTPStreamID(rid))
		if err != nil {
			return nil, err
		}
		packer := rtp.NewPacketizer(longest, 0, 0, &codecs.VP8Payloader{}, rtp.NewRandomSequencer(), videoClock)
		all = append(all, &layer{rid: rid, next: next, track: track, packer: packer})
	}
	return all, nil
}

// publishLayers sends one picture in several encodings (RFC 8853), and sound.
func publishLayers(ctx context.Context, o options) error {
	layers, err := layersOf(o.layers)
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
	direction := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
	transceiver, err := peer.AddTransceiverFromTrack(layers[0].track, direction)
	if err != nil {
		return err
	}
	sender := transceiver.Sender()
	for _, other := range layers[1:] {
		if err := sender.AddEncoding(other.track); err != nil {
			return err
		}
	}
	listen(sender, layers)
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
	names := extensions(sender, transceiver.Mid())
	problems := make([]error, len(layers)+1)
	var sounds atomic.Int64
	var all sync.WaitGroup
	for at, each := range layers {
		all.Go(func() { problems[at] = each.pace(ctx, names) })
	}
	all.Go(func() { problems[len(layers)] = pace(ctx, audio, pages, pageTime, &sounds) })
	all.Wait()
	line := map[string]any{"audio_frames_sent": sounds.Load()}
	for _, each := range layers {
		line[each.rid+"_frames_sent"] = each.sent.Load()
	}
	return errors.Join(append(problems, say(line), end(session, o.token))...)
}

// listen has interceptors see what comes back for each layer.
func listen(sender *webrtc.RTPSender, layers []*layer) {
	for _, each := range layers {
		go func() {
			buffer := make([]byte, 1500)
			for {
				if _, _, err := sender.ReadSimulcast(buffer, each.rid); err != nil {
					return
				}
			}
		}()
	}
}

// extensions gives the id of each header extension that names a layer's packets, with what it says (RFC 8852, RFC 8843).
func extensions(sender *webrtc.RTPSender, mid string) func(rid string) map[uint8]string {
	ids := map[string]uint8{}
	for _, extension := range sender.GetParameters().HeaderExtensions {
		ids[extension.URI] = uint8(extension.ID)
	}
	return func(rid string) map[uint8]string {
		return map[uint8]string{ids[midURI]: mid, ids[ridURI]: rid}
	}
}

func (l *layer) pace(ctx context.Context, names func(rid string) map[uint8]string) error {
	l.packer.SkipSamples(rand.Uint32()) // the first timestamp is random
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		frame, err := l.next()
		if err != nil {
			return err
		}
		for _, packet := range l.packer.Packetize(frame, videoClock/30) {
			for id, text := range names(l.rid) {
				if err := packet.SetExtension(id, []byte(text)); err != nil {
					return err
				}
			}
			if err := l.track.WriteRTP(packet); err != nil {
				return err
			}
		}
		l.sent.Add(1)
	}
}

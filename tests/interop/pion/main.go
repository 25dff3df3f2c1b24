// A WHIP publisher, WHEP player and WHEP server made of Pion as it comes: what Rivulet's interop tests run.
//
//	pion publish URL -video FILE.h264|FILE.ivf -audio FILE.ogg [-token T] [-rsa] [-seconds N]
//	pion publish URL -layers RID=FILE.ivf,RID=FILE.ivf,… -audio FILE.ogg [-token T] [-seconds N]
//	pion play    URL -write DIR [-rsa] [-seconds N]
//	pion serve   ADDRESS:PORT -video FILE.h264|FILE.ivf -audio FILE.ogg [-token T] [-rsa] [-lite]
//
// One line of JSON says that it is connected, a last one what went over the line.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	connectTimeout = 20 * time.Second
	rsaBits        = 2048
)

type options struct {
	url, token, video, layers, audio, write string
	rsa, tcp, lite                          bool
	seconds                                 float64
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pion:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("pion publish|play|serve URL [flags]")
	}
	var o options
	flags := flag.NewFlagSet("pion", flag.ContinueOnError)
	flags.StringVar(&o.token, "token", "", "bearer token")
	flags.StringVar(&o.video, "video", "", "what is published: Annex B (.h264) or IVF")
	flags.StringVar(&o.layers, "layers", "", "instead: one picture in several encodings, RID=FILE.ivf,RID=FILE.ivf,…")
	flags.StringVar(&o.audio, "audio", "", "what is published: Ogg with Opus, 20 ms a page")
	flags.StringVar(&o.write, "write", "", "folder for what is received")
	flags.BoolVar(&o.rsa, "rsa", false, "an RSA certificate instead of ECDSA")
	flags.BoolVar(&o.tcp, "tcp", false, "TCP only, no UDP socket at all")
	flags.BoolVar(&o.lite, "lite", false, "ICE lite: only answer checks")
	flags.Float64Var(&o.seconds, "seconds", 5, "how long media flows")
	if err := flags.Parse(arguments[2:]); err != nil {
		return err
	}
	o.url = arguments[1]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	switch arguments[0] {
	case "publish":
		if o.layers != "" {
			return publishLayers(ctx, o)
		}
		return publish(ctx, o)
	case "play":
		return play(ctx, o)
	case "serve":
		return serve(ctx, o)
	}
	return fmt.Errorf("no command %q", arguments[0])
}

// connection is a peer connection of Pion's default make; only loopback is allowed in addition.
func connection(o options) (*webrtc.PeerConnection, error) {
	certificate, err := certificate(o.rsa)
	if err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetLite(o.lite)
	if o.tcp {
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6})
	}
	return webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(
		webrtc.Configuration{Certificates: []webrtc.Certificate{*certificate}},
	)
}

func certificate(withRSA bool) (*webrtc.Certificate, error) {
	if withRSA {
		key, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return nil, err
		}
		return webrtc.GenerateCertificate(key)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return webrtc.GenerateCertificate(key)
}

// connect exchanges descriptions and waits until ICE and DTLS are through. It says what that took.
func connect(ctx context.Context, peer *webrtc.PeerConnection, o options) (session string, err error) {
	connected, failed := make(chan time.Time, 1), make(chan error, 1)
	peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			select {
			case connected <- time.Now():
			default:
			}
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			select {
			case failed <- fmt.Errorf("the connection is %s", state):
			default:
			}
		}
	})
	offer, err := peer.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err = peer.SetLocalDescription(offer); err != nil {
		return "", err
	}
	<-gathered
	posted := time.Now()
	answer, session, err := post(ctx, o.url, o.token, peer.LocalDescription().SDP)
	if err != nil {
		return "", err
	}
	answered := time.Now()
	description := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}
	if err = peer.SetRemoteDescription(description); err != nil {
		return session, err
	}
	select {
	case at := <-connected:
		return session, say(map[string]any{
			"connected":         true,
			"answer_ms":         milliseconds(answered.Sub(posted)),
			"connect_ms":        milliseconds(at.Sub(answered)),
			"post_to_connected": milliseconds(at.Sub(posted)),
		})
	case err = <-failed:
	case <-time.After(connectTimeout):
		err = errors.New("not connected in time")
	case <-ctx.Done():
		err = ctx.Err()
	}
	return session, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func say(line map[string]any) error { return json.NewEncoder(os.Stdout).Encode(line) }

func wait(ctx context.Context, seconds float64) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	}
}

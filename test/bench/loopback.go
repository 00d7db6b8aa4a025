package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/valyala/fasthttp"
)

// idleServer is the argument with which this program serves HTTP and does
// nothing else. It is a process of its own, as the hub is.
const idleServer = "serve-nothing"

func serveIdle() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	fmt.Println("http://" + l.Addr().String())
	go func() { // ends with the process that started it
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	answer := []byte(`{"id":"fnd_00000000000000000000000000","status":"accepted"}`)
	err = fasthttp.Serve(l, func(c *fasthttp.RequestCtx) {
		c.SetStatusCode(fasthttp.StatusAccepted)
		c.SetContentType("application/json")
		c.SetBody(answer)
	})
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// measureHTTP posts to a server that does nothing.
func measureHTTP(ctx context.Context, b *bench) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, idleServer)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = stdin.Close() // tells it to end
		_ = cmd.Wait()
	}()
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return err
	}
	sent, times := b.closed(ctx, &rig.Load{URL: strings.TrimSpace(url), Callers: 64, Body: func(buf []byte, i int) ([]byte, bool) {
		return rig.Findings{Run: "http", Pad: 600}.Append(buf, i), true
	}}, b.lasts(5*time.Second, time.Second))
	b.limits.posts = sent.PerSecond()
	r := row{Part: "http", Name: "POST of 1 KiB to a server that does nothing, 64 callers", PerSecond: sent.PerSecond(), Unit: "requests"}
	r.times(times)
	b.add(r)
	return worked(sent)
}

// closed runs a load for so long and gives how long each answer took.
func (b *bench) closed(ctx context.Context, l *rig.Load, lasts time.Duration) (rig.Sent, []time.Duration) {
	clock := newStopwatch(4_000_000)
	end := time.Now().Add(lasts)
	body := l.Body
	l.Body = func(buf []byte, i int) ([]byte, bool) {
		if i >= len(clock.taken) || !time.Now().Before(end) {
			return buf, false
		}
		return body(buf, i)
	}
	l.Started = clock.start
	done := l.Done
	l.Done = func(i, status int, answer []byte) {
		clock.stop(i, time.Now())
		if done != nil {
			done(i, status, answer)
		}
	}
	sent := l.Run(ctx)
	return sent, clock.times(0, sent.Posts)
}

func worked(s rig.Sent) error {
	if s.Refused+s.Broken > 0 {
		return fmt.Errorf("of %d posts %d were refused (first: %d %.200s) and %d got no answer", s.Posts, s.Refused, s.Status, s.Answer, s.Broken)
	}
	return nil
}

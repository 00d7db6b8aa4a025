package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay/sign"
)

type tempHook struct{ client *http.Client }

func (t tempHook) Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	now := time.Now()
	key, err := sign.ParseSecret(e.Secrets.Signing[0].Text)
	if err != nil {
		return hub.Attempt{}, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", e.URL, bytes.NewReader(d.Body))
	if err != nil {
		return hub.Attempt{}, err
	}
	req.Header["Content-Type"] = []string{"application/json"}
	req.Header["Webhook-Id"] = []string{string(d.EventID)}
	req.Header["Webhook-Timestamp"] = []string{strconv.FormatInt(now.Unix(), 10)}
	req.Header["Webhook-Signature"] = []string{sign.Sign(string(d.EventID), now.Unix(), d.Body, key)}
	sum := sha256.Sum256(d.Body)
	a := hub.Attempt{Digest: "sha-256=" + hex.EncodeToString(sum[:]), Request: map[string]string{"webhook-id": string(d.EventID), "webhook-signature": req.Header["Webhook-Signature"][0], "webhook-timestamp": req.Header["Webhook-Timestamp"][0]}}
	res, err := t.client.Do(req)
	if err != nil {
		return a, hub.Wrap(hub.Transient, err, "no answer")
	}
	body, _ := safehttp.ReadBody(res)
	a.Status, a.Body = res.StatusCode, string(body)
	if res.StatusCode/100 != 2 {
		return a, hub.E(hub.Transient, "status")
	}
	return a, nil
}

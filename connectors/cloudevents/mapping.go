package cloudevents

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
	"github.com/tocsin/tocsin/internal/intake"
)

// An event is a CloudEvent. Extensions are not looked at.
type event struct {
	SpecVersion inbound.Text   `json:"specversion"`
	ID          inbound.Text   `json:"id"`
	Source      inbound.Text   `json:"source"`
	Type        inbound.Text   `json:"type"`
	Subject     inbound.Text   `json:"subject"`
	Time        inbound.Time   `json:"time"`
	ContentType inbound.Text   `json:"datacontenttype"`
	Data        jsontext.Value `json:"data"`
	Base64      inbound.Text   `json:"data_base64"`

	raw jsontext.Value
}

// via is the label that tells which hub an alert came from.
const via = "tocsin_via"

func finding(piece inbound.Piece) ([]hub.Finding, error) {
	e := event{raw: piece.Raw}
	if err := inbound.Decode(piece.Raw, &e, false); err != nil {
		return nil, err
	}
	return e.findings()
}

func (e *event) findings() ([]hub.Finding, error) {
	for _, a := range []struct {
		name  string
		value inbound.Text
	}{{"specversion", e.SpecVersion}, {"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if a.value == "" {
			return nil, fmt.Errorf("%s: is required in a CloudEvent", a.name)
		}
	}
	if e.SpecVersion != "1.0" {
		return nil, errors.New("specversion: only 1.0 is read")
	}
	data, err := e.data()
	if err != nil {
		return nil, err
	}
	f, err := e.read(data)
	if err != nil || f == nil {
		return nil, err
	}
	if f.SourceID != "" {
		f.SourceID = inbound.Key(string(e.Source), f.SourceID)
	}
	if f.ObservedAt.IsZero() {
		f.ObservedAt = e.Time.Time
	}
	f.Labels = maps.Clone(f.Labels)
	if f.Labels == nil {
		f.Labels = map[string]string{}
	}
	f.Labels["ce_source"], f.Labels["ce_type"], f.Raw = string(e.Source), string(e.Type), e.raw
	if f.Title == "" {
		f.Title = string(inbound.First(e.Subject, e.Type)) + " on " + f.AssetID
	}
	return []hub.Finding{*f}, nil
}

func (e *event) data() (jsontext.Value, error) {
	data := e.Data
	if len(data) == 0 && e.Base64 != "" {
		b, err := base64.StdEncoding.DecodeString(string(e.Base64))
		if err != nil {
			return nil, errors.New("data_base64: is no base64")
		}
		data = b
	}
	if err := inbound.Check(data); err != nil || data.Kind() != '{' {
		return nil, errors.New("data: want a finding as a JSON object")
	}
	return data, nil
}

// read takes data as an alert, if there is one in it, otherwise as a finding.
func (e *event) read(data jsontext.Value) (*hub.Finding, error) {
	var told struct {
		Alert jsontext.Value `json:"alert"`
	}
	if err := json.Unmarshal(data, &told); err != nil {
		return nil, err
	}
	if told.Alert.Kind() == '{' {
		return e.alert(told.Alert)
	}
	f, err := intake.Finding(data)
	if err != nil {
		return nil, sentence(err)
	}
	return f, nil
}

// sentence is what the sender is told of an error.
func sentence(err error) error {
	var e *hub.Error
	if errors.As(err, &e) {
		return errors.New("data: " + e.Msg)
	}
	return err
}

// alert maps an alert of another hub: what is wrong there is wrong here, until
// it is resolved or dismissed there. Its version orders changes of one time.
func (e *event) alert(raw jsontext.Value) (*hub.Finding, error) {
	var a hub.Alert
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, errors.New("data.alert: is no alert as a hub's webhooks have it")
	}
	if a.ID == "" || a.AssetID == "" || !a.Severity.Valid() || !slices.Contains(hub.FindingTypes[:], a.Type) {
		return nil, errors.New("data.alert: wants id, type, asset_id and severity")
	}
	if from := a.Labels[via]; from != "" {
		return nil, errors.New("data.alert: the sender has it from another hub itself; let that one send it")
	}
	f := &hub.Finding{
		SourceID: string(a.ID), Type: a.Type, AssetID: a.AssetID, Severity: a.Severity, Title: a.Title, Description: a.Description,
		Status: hub.FindingOpen, ObservedAt: e.Time.Time, SourceSequence: a.Version, Labels: maps.Clone(a.Labels), Asset: a.Asset,
		Vulnerability: a.Vulnerability, Compliance: a.Compliance, RiskScore: a.RiskScore,
	}
	if f.ObservedAt.IsZero() {
		f.ObservedAt = a.UpdatedAt
	}
	if a.Status == hub.AlertResolved || a.Status == hub.AlertDismissed {
		f.Status = hub.FindingResolved
	}
	if f.Labels == nil {
		f.Labels = map[string]string{}
	}
	f.Labels[via] = string(e.Source)
	if a.Payload.Kind() == '{' {
		f.Payload = a.Payload
	}
	return f, nil
}

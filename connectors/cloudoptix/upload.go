package cloudoptix

import (
	"bytes"
	"encoding/base64"
	"maps"
	"mime/multipart"
	"slices"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A file is one to be scanned.
type file struct {
	Name    string `json:"name"`
	Content string `json:"content"`
	Base64  string `json:"base64"`
}

// maxUpload bounds what one action uploads.
const maxUpload = 8 << 20

// bytes gives the file's content.
func (f file) bytes() ([]byte, error) {
	if f.Base64 == "" {
		return []byte(f.Content), nil
	}
	b, err := base64.StdEncoding.DecodeString(f.Base64)
	if err != nil {
		return nil, hub.E(hub.Invalid, "/files: the base64 of "+connectors.Quote(f.Name)+" cannot be read")
	}
	return b, nil
}

// upload makes a form of files and of the call's query.
func upload(call *connectors.Call, files []file) error {
	if len(files) == 0 {
		return hub.E(hub.Invalid, "/files: want one file at least")
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, name := range slices.Sorted(maps.Keys(call.Query)) {
		if name == "files" {
			continue
		}
		if err := form.WriteField(name, call.Query.Get(name)); err != nil {
			return err
		}
	}
	for _, f := range files {
		content, err := f.bytes()
		switch {
		case err != nil:
			return err
		case f.Name == "":
			return hub.E(hub.Invalid, "/files: every file wants a name")
		case body.Len()+len(content) > maxUpload:
			return hub.E(hub.TooLarge, "/files: they are above 8 MiB")
		}
		part, err := form.CreateFormFile("files", f.Name)
		if err != nil {
			return err
		}
		if _, err := part.Write(content); err != nil {
			return err
		}
	}
	if err := form.Close(); err != nil {
		return err
	}
	call.Body, call.Type, call.Query = body.Bytes(), form.FormDataContentType(), nil
	return nil
}

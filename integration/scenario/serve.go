package scenario

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Serve answers lockstep requests, one JSON object a line, until in ends. Nothing but answers is written to out. What a
// request does wrong is answered with {"error": "..."}; the error returned is one of reading, writing, or of a Player
// that is broken.
func Serve(in io.Reader, out io.Writer, p Player) error {
	r := bufio.NewReaderSize(in, 1<<16)
	w := bufio.NewWriterSize(out, 1<<16)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			answer, broken := answerLine(p, line)
			if broken != nil {
				return broken
			}
			w.Write(answer)
			w.WriteByte('\n')
			if err := w.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// answerLine gives the answer to one line, without its line end.
func answerLine(p Player, line []byte) ([]byte, error) {
	var r Request
	if err := json.Unmarshal(line, &r); err != nil {
		return refuse("bad request: " + err.Error()), nil
	}
	if r.Op == "" {
		return refuse(`bad request: "op" is missing`), nil
	}
	a, err := p.Ask(&r)
	var refused *Refused
	if errors.As(err, &refused) {
		return refuse(refused.Text), nil
	}
	if err != nil {
		return nil, err
	}
	b, err := a.encode(r.Op)
	if err != nil {
		return nil, fmt.Errorf("answer to %q: %w", r.Op, err)
	}
	return b, nil
}

func refuse(text string) []byte {
	b, err := json.Marshal(struct {
		Error string `json:"error"`
	}{text})
	if err != nil {
		panic("scenario: a string is always JSON: " + err.Error())
	}
	return b
}

# moat as one static binary in an empty image. It needs /dev/net/tun and CAP_NET_ADMIN, nothing else:
#
#	docker build -t moat .
#	docker run --rm --cap-drop ALL --cap-add NET_ADMIN --device /dev/net/tun -v ./configs:/etc/moat:ro moat run -c /etc/moat/03-dmz.yaml
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /moat ./cmd/moat

FROM scratch
COPY --from=build /moat /moat
ENTRYPOINT ["/moat"]
CMD ["--help"]

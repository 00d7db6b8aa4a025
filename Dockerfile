# The hub as one static program in an otherwise empty image: no shell, no libc,
# not root, and it writes nowhere but /data, and /keys if it is told to keep the audit key there.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t tocsin .

FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/tocsin ./cmd/tocsin && mkdir /out/empty

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/tocsin /usr/bin/tocsin
COPY --from=build --chown=65532:65532 /out/empty /data
COPY --from=build --chown=65532:65532 /out/empty /keys
USER 65532:65532
ENV TOCSIN_STORE_DIR=/data TOCSIN_SERVER_LISTEN=:8080
VOLUME /data /keys
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/bin/tocsin", "health", "--url", "http://127.0.0.1:8080"]
ENTRYPOINT ["/usr/bin/tocsin"]
CMD ["serve"]

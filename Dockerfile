# `make image` builds the two files that this image consists of; building it needs
# no network.
FROM scratch
COPY bin/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY bin/davit /davit
# Git, the engine's socket and this directory are all that davit needs:
#   docker run --network host -v /var/run/docker.sock:/var/run/docker.sock -v /var/lib/davit:/var/lib/davit davit run --repo URL
# On the host's network its probes reach every container. deploy/compose.yaml has the edge, too.
# The data directory has the same path inside and outside, because the engine
# resolves the bind mounts that point into it.
ENTRYPOINT ["/davit"]
CMD ["run"]

package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// VolumeHash is Compose's own hash of a volume of p, as in the volume's label; see
// NetworkHash for a network's.
func (p *Project) VolumeHash(key string) string {
	v := p.Model.Volumes[key]
	v.CustomLabels = nil
	if v.Driver == "" {
		v.Driver = "local" // as Compose has it, for volumes only
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "" // it came out of JSON; equal to no label
	}
	digest := sha256.Sum256(raw)
	return hex.EncodeToString(digest[:])
}

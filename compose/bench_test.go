package compose

import (
	"fmt"
	"testing"
)

// BenchmarkLoad loads one stack of five services, as every new revision does for
// every stack.
func BenchmarkLoad(b *testing.B) {
	text := "name: shop\nservices:\n"
	for i := range 5 {
		text += fmt.Sprintf("  s%d:\n    image: shop:1\n    environment: {LEVEL: info, EDIT: \"%d\"}\n    x-davit: {stable_for: 0s}\n", i, i)
	}
	root := write(b, one(text))
	stack, o := find(b, root), options(root)
	for b.Loop() {
		if _, err := Load(b.Context(), stack, o); err != nil {
			b.Fatal(err)
		}
	}
}

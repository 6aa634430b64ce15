package testbed

// Compose's labels, by which a stack's things are found, and this package's own,
// by which the rest is.
const (
	projectLabel = "com.docker.compose.project"
	serviceLabel = "com.docker.compose.service"
	numberLabel  = "com.docker.compose.container-number"
	bedLabel     = "davit.testbed"
)

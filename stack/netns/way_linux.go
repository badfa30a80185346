package netns

// FindWay tells how this process can have namespaces with TUN devices in them, and, where that is not Here, why not.
// Whether a user namespace is granted shows only when the child of Reexec starts.
func FindWay() (Way, error) {
	if err := CanOpenTUN(); err != nil {
		return Nowhere, err
	}
	return FindNamespaces()
}

// FindNamespaces is FindWay for who needs no TUN devices (package veth).
func FindNamespaces() (Way, error) {
	if err := CanAdminister(); err != nil {
		return InUserNamespace, err
	}
	return Here, nil
}

package netns

// FindWay tells how this process can have namespaces with TUN devices in them, and, where that is not Here, why not.
// Whether a user namespace is granted shows only when the child of Reexec starts.
func FindWay() (Way, error) {
	if err := CanOpenTUN(); err != nil {
		return Nowhere, err
	}
	if err := CanAdminister(); err != nil {
		return InUserNamespace, err
	}
	return Here, nil
}

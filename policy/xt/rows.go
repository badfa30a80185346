package xt

// match and target make rows of the tables: extensions whose parser is the compiled match or target itself start
// from its zero value.
func match[T any, P interface {
	*T
	MatchParser
}]() MatchParser {
	return P(new(T))
}

func target[T any, P interface {
	*T
	TargetParser
}]() TargetParser {
	return P(new(T))
}

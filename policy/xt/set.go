package xt

type setTable struct{}

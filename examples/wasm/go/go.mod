module statements

go 1.24

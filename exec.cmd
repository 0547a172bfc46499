@rem The scripts of package.json begin with `exec`, so that a signal to npm reaches the program and not a shell. cmd knows no `exec` and finds this.
@%*

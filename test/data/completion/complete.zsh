# zsh -f complete.zsh DIR LINE...: completes each line in one interactive zsh, as its user does with
# the tab key, and writes to DIR/hits what was offered. DIR/_zone-egress is the script.
zmodload zsh/zpty || exit 3
dir=$1; shift
export DIR=$dir
wait_for() { local all='' chunk; while [[ $all != *$1* ]]; do zpty -r inner chunk || exit 4; all+=$chunk; done }
zpty inner "zsh -f -i 2>${(q)dir}/errors"
zpty -w inner "source ${(q)${0:A:h}}/inner.zsh; print -r -- READY-\$((1 + 1))"
wait_for READY-2
for line in "$@"; do
  print -r -- "LINE $line" >> $dir/hits
  zpty -n -w inner "$line"$'\t'
  wait_for '@DONE@'
done
zpty -d inner

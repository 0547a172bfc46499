# Read by the interactive zsh of complete.zsh.
PROMPT=
fpath=($DIR $fpath)
autoload -Uz compinit
compinit -u -D
compadd() {
  # With one of these it only computes.
  if (( ! ${@[(I)-(O|A|D)]} )); then
    local -a hits
    builtin compadd -O hits "$@"
    (( $#hits )) && print -rl -- "HIT "$^hits >> $DIR/hits
  fi
  builtin compadd "$@"
}
# Completes, and empties the line for the next one.
offer() { zle complete-word; BUFFER=; print -r -- '@DONE@' }
zle -N offer
bindkey '^I' offer
zstyle ':completion:*' insert-tab false
# Nothing is listed, and no question is asked.
unsetopt auto_list auto_menu beep

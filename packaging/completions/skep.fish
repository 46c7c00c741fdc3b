# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_skep_global_optspecs
    string join \n socket= v/verbose debug json h/help V/version
end

function __fish_skep_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_skep_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_skep_using_subcommand
    set -l cmd (__fish_skep_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c skep -n "__fish_skep_needs_command" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_needs_command" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_needs_command" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_needs_command" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_needs_command" -s V -l version -d 'Print version'
complete -c skep -n "__fish_skep_needs_command" -f -a "run" -d 'Run a prompt and stream its output; end with its outcome'
complete -c skep -n "__fish_skep_needs_command" -f -a "bg" -d 'Run a prompt in the background'
complete -c skep -n "__fish_skep_needs_command" -f -a "prompt" -d 'Prompt an open session and stream the output; never creates one'
complete -c skep -n "__fish_skep_needs_command" -f -a "attach" -d 'Come back to a session: see its recent turns, follow it, prompt it, answer it'
complete -c skep -n "__fish_skep_needs_command" -f -a "ps" -d 'List the sessions, newest change first'
complete -c skep -n "__fish_skep_needs_command" -f -a "logs" -d 'Show a session\'s prompts and output, or with `--type` another of its logs'
complete -c skep -n "__fish_skep_needs_command" -f -a "wait" -d 'Block until a session is done, or needs you'
complete -c skep -n "__fish_skep_needs_command" -f -a "inbox" -d 'List everything that waits for you, oldest first'
complete -c skep -n "__fish_skep_needs_command" -f -a "allow" -d 'Allow what waits for you. Without a request, only if exactly one waits'
complete -c skep -n "__fish_skep_needs_command" -f -a "deny" -d 'Deny what waits for you. Without a request, only if exactly one waits'
complete -c skep -n "__fish_skep_needs_command" -f -a "set" -d 'Change the settings of an open session: all that is given, or nothing'
complete -c skep -n "__fish_skep_needs_command" -f -a "cancel" -d 'Cancel the turn that runs in a session. No turn is no error'
complete -c skep -n "__fish_skep_needs_command" -f -a "release" -d 'Let a session\'s held prompts go on'
complete -c skep -n "__fish_skep_needs_command" -f -a "close" -d 'Close a session: its agent is asked to end, its history is kept, its name is free again'
complete -c skep -n "__fish_skep_needs_command" -f -a "kill" -d 'Kill a session: its agent and everything that it started die at once; its history is kept'
complete -c skep -n "__fish_skep_needs_command" -f -a "rm" -d 'Delete a session\'s history. An open session is killed and deleted only with `-f`'
complete -c skep -n "__fish_skep_needs_command" -f -a "worker" -d 'Look at workers, and restart, park or unpark them'
complete -c skep -n "__fish_skep_needs_command" -f -a "daemon" -d 'Start, stop and look at the daemon. Without a subcommand: its status'
complete -c skep -n "__fish_skep_needs_command" -f -a "agents" -d 'List the agents, which of them were found here, and where'
complete -c skep -n "__fish_skep_needs_command" -f -a "config" -d 'Show, check or write the configuration'
complete -c skep -n "__fish_skep_needs_command" -f -a "doctor" -d 'Check this installation: files, permissions, the daemon, leftovers, the configuration, the agents'
complete -c skep -n "__fish_skep_needs_command" -f -a "open" -d 'Sign a browser in: opens it with a link that works once, within five minutes'
complete -c skep -n "__fish_skep_needs_command" -f -a "token" -d 'Make, list and revoke tokens for the API. Browsers that are signed in are listed and revoked as well'
complete -c skep -n "__fish_skep_needs_command" -f -a "password" -d 'Set or remove the password with which browsers sign in on addresses beyond this machine'
complete -c skep -n "__fish_skep_needs_command" -f -a "audit" -d 'Show who did what: every request that changed something, and every one that was refused to whoever made it'
complete -c skep -n "__fish_skep_needs_command" -f -a "hooks" -d 'See who is told of what happens (`[hooks.NAME]` in the configuration), try a hook, and what it had to tell'
complete -c skep -n "__fish_skep_needs_command" -f -a "acp" -d 'Be an ACP agent for an editor, on standard input and output'
complete -c skep -n "__fish_skep_needs_command" -f -a "mcp" -d 'Be an MCP server, on standard input and output: tools that open, prompt, watch and close sessions'
complete -c skep -n "__fish_skep_needs_command" -f -a "api" -d 'Call the HTTP API by hand and print the answer as it comes'
complete -c skep -n "__fish_skep_needs_command" -f -a "openapi" -d 'Print the OpenAPI document of the HTTP API'
complete -c skep -n "__fish_skep_needs_command" -f -a "completions" -d 'Print the completion script for a shell'
complete -c skep -n "__fish_skep_needs_command" -f -a "man" -d 'Print the manual page, or write one page per command into a directory'
complete -c skep -n "__fish_skep_needs_command" -f -a "version" -d 'Print the version, and the running daemon\'s'
complete -c skep -n "__fish_skep_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand run" -l agent -d 'The agent; `skep agents` lists them. The configured default where none is given' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l name -d 'Create the session of this name, or continue it if it is open' -r
complete -c skep -n "__fish_skep_using_subcommand run" -s C -l dir -d 'The session\'s directory; the current one where none is given' -r -F
complete -c skep -n "__fish_skep_using_subcommand run" -l timeout -d 'Cancel the turn after this time: `90`, `90s`, `5m`, `1h30m`' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l permission-mode -d 'What happens to permission requests' -r -f -a "ask\t'Every request waits for a person'
accept-edits\t'File edits are allowed, the rest waits'
plan\t'Reading is allowed, everything else denied'
deny\t'Everything is denied'
bypass\t'Everything is allowed'"
complete -c skep -n "__fish_skep_using_subcommand run" -l when-busy -d 'What happens to the prompt if a turn runs in the session' -r -f -a "refuse\t'It is refused'
queue\t'It waits in the session\'s queue'
steer\t'It goes into the turn that runs, if the agent takes it there'"
complete -c skep -n "__fish_skep_using_subcommand run" -l spawn-mode -d 'Where the session\'s files are' -r -f -a "same-dir\t'In the directory itself'
worktree\t'In a worktree of its own (not supported yet)'"
complete -c skep -n "__fish_skep_using_subcommand run" -l attach -d 'Send a file with the prompt; can be repeated, `-` is standard input' -r -F
complete -c skep -n "__fish_skep_using_subcommand run" -l max-turns -d 'How many prompts the session may run' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l max-tokens -d 'How many tokens the session may use, as far as its agent tells them' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l max-cost -d 'What the session may cost, such as `2.50`, in the currency in which its agent tells it' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l allow -d 'Allow what fits without asking: `execute:cargo *`, `edit:src/**`, `read`' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l deny -d 'Deny what fits without asking. Of both, the first that fits decides' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l permission-timeout -d 'Deny a permission request that nobody answers in this time: `90`, `5m`' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l idle-timeout -d 'Hibernate when there was no turn for this time' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l busy-default -d 'What the session\'s prompts get while a turn runs, where they do not say' -r -f -a "refuse\t'It is refused'
queue\t'It waits in the session\'s queue'
steer\t'It goes into the turn that runs, if the agent takes it there'"
complete -c skep -n "__fish_skep_using_subcommand run" -l model -d 'The agent\'s model, by the agent\'s own name for it' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l set -d 'Set one of the agent\'s own options; can be repeated' -r
complete -c skep -n "__fish_skep_using_subcommand run" -l mcp-config -d 'Give the agent the MCP servers of this file, `{"mcpServers": {…}}`; can be repeated' -r -F
complete -c skep -n "__fish_skep_using_subcommand run" -l resume -d 'What brings the session back whose agent, worker or machine died; the turn that was cut off is not run again' -r -f -a "on-prompt\t'The next prompt, with the session\'s context'
always\t'By itself, with its context; queued prompts go on'
never\t'The next prompt, without the context'"
complete -c skep -n "__fish_skep_using_subcommand run" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand run" -s y -l yes -d 'Allow everything: the same as `--permission-mode bypass`'
complete -c skep -n "__fish_skep_using_subcommand run" -l queue -d 'If a turn runs in the session, queue the prompt: the same as `--when-busy queue`'
complete -c skep -n "__fish_skep_using_subcommand run" -l steer -d 'If a turn runs in the session, give the prompt to the agent in that turn: the same as `--when-busy steer`'
complete -c skep -n "__fish_skep_using_subcommand run" -l sandbox -d 'Run the agent in a sandbox (not supported yet)'
complete -c skep -n "__fish_skep_using_subcommand run" -l delegate -d 'Give the agent skep\'s own tools: it can open, prompt, watch and close sessions of its own (`skep mcp`)'
complete -c skep -n "__fish_skep_using_subcommand run" -l keep -d 'Keep an unnamed session open'
complete -c skep -n "__fish_skep_using_subcommand run" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand run" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand run" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand bg" -l agent -d 'The agent; `skep agents` lists them. The configured default where none is given' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l name -d 'Create the session of this name, or continue it if it is open' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -s C -l dir -d 'The session\'s directory; the current one where none is given' -r -F
complete -c skep -n "__fish_skep_using_subcommand bg" -l timeout -d 'Cancel the turn after this time: `90`, `90s`, `5m`, `1h30m`' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l permission-mode -d 'What happens to permission requests' -r -f -a "ask\t'Every request waits for a person'
accept-edits\t'File edits are allowed, the rest waits'
plan\t'Reading is allowed, everything else denied'
deny\t'Everything is denied'
bypass\t'Everything is allowed'"
complete -c skep -n "__fish_skep_using_subcommand bg" -l when-busy -d 'What happens to the prompt if a turn runs in the session' -r -f -a "refuse\t'It is refused'
queue\t'It waits in the session\'s queue'
steer\t'It goes into the turn that runs, if the agent takes it there'"
complete -c skep -n "__fish_skep_using_subcommand bg" -l spawn-mode -d 'Where the session\'s files are' -r -f -a "same-dir\t'In the directory itself'
worktree\t'In a worktree of its own (not supported yet)'"
complete -c skep -n "__fish_skep_using_subcommand bg" -l attach -d 'Send a file with the prompt; can be repeated, `-` is standard input' -r -F
complete -c skep -n "__fish_skep_using_subcommand bg" -l max-turns -d 'How many prompts the session may run' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l max-tokens -d 'How many tokens the session may use, as far as its agent tells them' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l max-cost -d 'What the session may cost, such as `2.50`, in the currency in which its agent tells it' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l allow -d 'Allow what fits without asking: `execute:cargo *`, `edit:src/**`, `read`' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l deny -d 'Deny what fits without asking. Of both, the first that fits decides' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l permission-timeout -d 'Deny a permission request that nobody answers in this time: `90`, `5m`' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l idle-timeout -d 'Hibernate when there was no turn for this time' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l busy-default -d 'What the session\'s prompts get while a turn runs, where they do not say' -r -f -a "refuse\t'It is refused'
queue\t'It waits in the session\'s queue'
steer\t'It goes into the turn that runs, if the agent takes it there'"
complete -c skep -n "__fish_skep_using_subcommand bg" -l model -d 'The agent\'s model, by the agent\'s own name for it' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l set -d 'Set one of the agent\'s own options; can be repeated' -r
complete -c skep -n "__fish_skep_using_subcommand bg" -l mcp-config -d 'Give the agent the MCP servers of this file, `{"mcpServers": {…}}`; can be repeated' -r -F
complete -c skep -n "__fish_skep_using_subcommand bg" -l resume -d 'What brings the session back whose agent, worker or machine died; the turn that was cut off is not run again' -r -f -a "on-prompt\t'The next prompt, with the session\'s context'
always\t'By itself, with its context; queued prompts go on'
never\t'The next prompt, without the context'"
complete -c skep -n "__fish_skep_using_subcommand bg" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand bg" -s y -l yes -d 'Allow everything: the same as `--permission-mode bypass`'
complete -c skep -n "__fish_skep_using_subcommand bg" -l queue -d 'If a turn runs in the session, queue the prompt: the same as `--when-busy queue`'
complete -c skep -n "__fish_skep_using_subcommand bg" -l steer -d 'If a turn runs in the session, give the prompt to the agent in that turn: the same as `--when-busy steer`'
complete -c skep -n "__fish_skep_using_subcommand bg" -l sandbox -d 'Run the agent in a sandbox (not supported yet)'
complete -c skep -n "__fish_skep_using_subcommand bg" -l delegate -d 'Give the agent skep\'s own tools: it can open, prompt, watch and close sessions of its own (`skep mcp`)'
complete -c skep -n "__fish_skep_using_subcommand bg" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand bg" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand bg" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand bg" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand prompt" -l when-busy -d 'What happens to the prompt if a turn runs in the session' -r -f -a "refuse\t'It is refused'
queue\t'It waits in the session\'s queue'
steer\t'It goes into the turn that runs, if the agent takes it there'"
complete -c skep -n "__fish_skep_using_subcommand prompt" -l timeout -d 'Cancel the turn after this time: `90`, `90s`, `5m`, `1h30m`' -r
complete -c skep -n "__fish_skep_using_subcommand prompt" -l attach -d 'Send a file with the prompt; can be repeated, `-` is standard input' -r -F
complete -c skep -n "__fish_skep_using_subcommand prompt" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand prompt" -l queue -d 'If a turn runs in the session, queue the prompt: the same as `--when-busy queue`'
complete -c skep -n "__fish_skep_using_subcommand prompt" -l steer -d 'If a turn runs in the session, give the prompt to the agent in that turn: the same as `--when-busy steer`'
complete -c skep -n "__fish_skep_using_subcommand prompt" -l retry-interrupted -d 'Run the turn that was cut off last again, as a new turn; the prompt is that one\'s'
complete -c skep -n "__fish_skep_using_subcommand prompt" -l no-wait -d 'Do not watch: come back at once'
complete -c skep -n "__fish_skep_using_subcommand prompt" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand prompt" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand prompt" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand prompt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand attach" -l tail -d 'So many recent turns are shown' -r
complete -c skep -n "__fish_skep_using_subcommand attach" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand attach" -l read-only -d 'Only watch'
complete -c skep -n "__fish_skep_using_subcommand attach" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand attach" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand attach" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand attach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand ps" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand ps" -s a -l all -d 'Closed sessions too'
complete -c skep -n "__fish_skep_using_subcommand ps" -s l -l long -d 'What they have used, too'
complete -c skep -n "__fish_skep_using_subcommand ps" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand ps" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand ps" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand ps" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand logs" -l type -d 'Which log' -r -f -a "auto\t'The first of the others that exists'
telemetry\t'skep\'s own events'
process\t'What processes wrote to standard error'
debug\t'Verbose records, written with `--debug` only'
transcript\t'The conversation'"
complete -c skep -n "__fish_skep_using_subcommand logs" -l tail -d 'Only the last so many lines' -r
complete -c skep -n "__fish_skep_using_subcommand logs" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand logs" -s f -l follow -d 'Go on as the log grows'
complete -c skep -n "__fish_skep_using_subcommand logs" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand logs" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand logs" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand wait" -l for -d 'Wait for this only; the first of the two where none is given' -r -f -a "done\t'No turn runs and none is queued'
needs-you\t'A permission request waits'"
complete -c skep -n "__fish_skep_using_subcommand wait" -l timeout -d 'Give up after this time: `90`, `90s`, `5m`, `1h30m`' -r
complete -c skep -n "__fish_skep_using_subcommand wait" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand wait" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand wait" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand wait" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand inbox" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand inbox" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand inbox" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand inbox" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand inbox" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand allow" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand allow" -l always -d 'For good, where the agent offers that'
complete -c skep -n "__fish_skep_using_subcommand allow" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand allow" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand allow" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand allow" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand deny" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand deny" -l always -d 'For good, where the agent offers that'
complete -c skep -n "__fish_skep_using_subcommand deny" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand deny" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand deny" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand deny" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand set" -l permission-mode -d 'What happens to permission requests from now on' -r -f -a "ask\t'Every request waits for a person'
accept-edits\t'File edits are allowed, the rest waits'
plan\t'Reading is allowed, everything else denied'
deny\t'Everything is denied'
bypass\t'Everything is allowed'"
complete -c skep -n "__fish_skep_using_subcommand set" -l model -d 'The agent\'s model, by the agent\'s own name for it' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l set -d 'Set one of the agent\'s own options; can be repeated' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l unset -d 'Leave one of the agent\'s own options to the agent again; can be repeated' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l max-turns -d 'How many prompts the session may run, those that ran included' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l max-tokens -d 'How many tokens the session may use, those that it has used included' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l max-cost -d 'What the session may cost, such as `2.50`, what it has cost included' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l timeout -d 'Cancel a turn after this time whose prompt does not say; counts from the beginning of one that runs' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l idle-timeout -d 'Hibernate when there was no turn for this time' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l permission-timeout -d 'Deny a permission request that nobody answers in this time; for requests from now on' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l busy-default -d 'What the session\'s prompts get while a turn runs, where they do not say' -r -f -a "refuse\t'It is refused'
queue\t'It waits in the session\'s queue'
steer\t'It goes into the turn that runs, if the agent takes it there'"
complete -c skep -n "__fish_skep_using_subcommand set" -l resume -d 'What brings the session back whose agent, worker or machine died' -r -f -a "on-prompt\t'The next prompt, with the session\'s context'
always\t'By itself, with its context; queued prompts go on'
never\t'The next prompt, without the context'"
complete -c skep -n "__fish_skep_using_subcommand set" -l allow -d 'Allow what fits without asking: `execute:cargo *`, `edit:src/**`, `read`' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l deny -d 'Deny what fits without asking. Of both, the first that fits decides' -r
complete -c skep -n "__fish_skep_using_subcommand set" -l reset -d 'Take back what the session was given, so that the configured value holds; can be repeated' -r -f -a "model\t'The agent chooses its model'
max-turns\t''
max-tokens\t''
max-cost\t''
timeout\t''
idle-timeout\t''
permission-timeout\t''
busy-default\t''
resume\t''
rules\t'The session\'s own permission rules'"
complete -c skep -n "__fish_skep_using_subcommand set" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand set" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand set" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand set" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand cancel" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand cancel" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand cancel" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand cancel" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand cancel" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand release" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand release" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand release" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand release" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand release" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand close" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand close" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand close" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand close" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand close" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand kill" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand kill" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand kill" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand kill" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand kill" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand rm" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand rm" -s f -l force -d 'Even if it is open: kill it first'
complete -c skep -n "__fish_skep_using_subcommand rm" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand rm" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand rm" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand rm" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -f -a "ls" -d 'List the workers'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -f -a "list" -d 'List the workers'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -f -a "restart" -d 'Restart a worker; its turns are interrupted'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -f -a "park" -d 'Stop a worker, and keep it stopped until it is unparked'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -f -a "unpark" -d 'Let a parked worker start again'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -f -a "kill" -d 'Kill a worker and remove it'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -f -a "logs" -d 'Show what workers wrote, each line with its worker\'s name'
complete -c skep -n "__fish_skep_using_subcommand worker; and not __fish_seen_subcommand_from ls list restart park unpark kill logs help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from ls" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from ls" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from ls" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from list" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from list" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from list" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from restart" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from restart" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from restart" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from restart" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from restart" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from park" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from park" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from park" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from park" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from park" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from unpark" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from unpark" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from unpark" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from unpark" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from unpark" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from kill" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from kill" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from kill" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from kill" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from kill" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from logs" -l type -d 'Which log' -r -f -a "auto\t'The first of the others that exists'
telemetry\t'skep\'s own events'
process\t'What processes wrote to standard error'
debug\t'Verbose records, written with `--debug` only'
transcript\t'The conversation'"
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from logs" -l tail -d 'Only the last so many lines' -r
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from logs" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Go on as the log grows'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from logs" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from logs" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from logs" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the workers'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from help" -f -a "restart" -d 'Restart a worker; its turns are interrupted'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from help" -f -a "park" -d 'Stop a worker, and keep it stopped until it is unparked'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from help" -f -a "unpark" -d 'Let a parked worker start again'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from help" -f -a "kill" -d 'Kill a worker and remove it'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from help" -f -a "logs" -d 'Show what workers wrote, each line with its worker\'s name'
complete -c skep -n "__fish_skep_using_subcommand worker; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "start" -d 'Start the daemon in the background, and wait until it serves. If one runs, report that one'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "stop" -d 'Stop the daemon: every turn is interrupted, every worker ends, then the process. Stopped already is fine'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "restart" -d 'Stop the daemon and start it again with the options that it had, unless others are given'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "reload" -d 'Read the configuration again. An invalid one changes nothing; only workers whose settings changed are restarted'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "status" -d 'Show the daemon, its workers and its sessions'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "ps" -d 'Show the daemon, its workers and its sessions'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "run" -d 'Run the daemon in the foreground, for a service manager or for debugging'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "logs" -d 'Show the daemon\'s log, or a session\'s'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "sessions" -d 'List the sessions'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "bg" -d 'Run a prompt in the background'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "attach" -d 'Come back to a session: see its recent turns, follow it, prompt it, answer it'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "kill" -d 'Kill a session: its agent and everything that it started die at once; its history is kept'
complete -c skep -n "__fish_skep_using_subcommand daemon; and not __fish_seen_subcommand_from start stop restart reload status ps run logs sessions bg attach kill help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l dir -d 'The workers\' directory; the current one where none is given' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l spawn-mode -d 'Where sessions run' -r -f -a "same-dir\t'In the directory itself'
worktree\t'In a worktree of its own (not supported yet)'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l capacity -d 'Sessions per worker' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l permission-mode -d 'What happens to permission requests of sessions that name no mode' -r -f -a "ask\t'Every request waits for a person'
accept-edits\t'File edits are allowed, the rest waits'
plan\t'Reading is allowed, everything else denied'
deny\t'Everything is denied'
bypass\t'Everything is allowed'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l name -d 'Open the session of this name at once' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l port -d 'Listen on this TCP port as well; 0 picks one. Without `--host`: on 127.0.0.1' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l host -d 'Listen there over TCP; may be given more than once. Any address that is not loopback needs a password' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l sandbox -d 'Run agents in a sandbox (not supported yet)'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l foreground -d 'Stay in the foreground: the same as `daemon run`'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from stop" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from stop" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from stop" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from stop" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l dir -d 'The workers\' directory; the current one where none is given' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l spawn-mode -d 'Where sessions run' -r -f -a "same-dir\t'In the directory itself'
worktree\t'In a worktree of its own (not supported yet)'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l capacity -d 'Sessions per worker' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l permission-mode -d 'What happens to permission requests of sessions that name no mode' -r -f -a "ask\t'Every request waits for a person'
accept-edits\t'File edits are allowed, the rest waits'
plan\t'Reading is allowed, everything else denied'
deny\t'Everything is denied'
bypass\t'Everything is allowed'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l name -d 'Open the session of this name at once' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l port -d 'Listen on this TCP port as well; 0 picks one. Without `--host`: on 127.0.0.1' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l host -d 'Listen there over TCP; may be given more than once. Any address that is not loopback needs a password' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l sandbox -d 'Run agents in a sandbox (not supported yet)'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from restart" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from reload" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from reload" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from reload" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from reload" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from reload" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from status" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from status" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from status" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from ps" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from ps" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from ps" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from ps" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from ps" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l dir -d 'The workers\' directory; the current one where none is given' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l spawn-mode -d 'Where sessions run' -r -f -a "same-dir\t'In the directory itself'
worktree\t'In a worktree of its own (not supported yet)'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l capacity -d 'Sessions per worker' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l permission-mode -d 'What happens to permission requests of sessions that name no mode' -r -f -a "ask\t'Every request waits for a person'
accept-edits\t'File edits are allowed, the rest waits'
plan\t'Reading is allowed, everything else denied'
deny\t'Everything is denied'
bypass\t'Everything is allowed'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l name -d 'Open the session of this name at once' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l port -d 'Listen on this TCP port as well; 0 picks one. Without `--host`: on 127.0.0.1' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l host -d 'Listen there over TCP; may be given more than once. Any address that is not loopback needs a password' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l sandbox -d 'Run agents in a sandbox (not supported yet)'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l detached -d 'Leave the terminal, and tell the launcher through standard output when it serves'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from logs" -l type -d 'Which log' -r -f -a "auto\t'The first of the others that exists'
telemetry\t'skep\'s own events'
process\t'What processes wrote to standard error'
debug\t'Verbose records, written with `--debug` only'
transcript\t'The conversation'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from logs" -l tail -d 'Only the last so many lines' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from logs" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Go on as the log grows'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from logs" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from logs" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from logs" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from sessions" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from sessions" -s a -l all -d 'Closed sessions too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from sessions" -s l -l long -d 'What they have used, too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from sessions" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from sessions" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from sessions" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from sessions" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l agent -d 'The agent; `skep agents` lists them. The configured default where none is given' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l name -d 'Create the session of this name, or continue it if it is open' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -s C -l dir -d 'The session\'s directory; the current one where none is given' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l timeout -d 'Cancel the turn after this time: `90`, `90s`, `5m`, `1h30m`' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l permission-mode -d 'What happens to permission requests' -r -f -a "ask\t'Every request waits for a person'
accept-edits\t'File edits are allowed, the rest waits'
plan\t'Reading is allowed, everything else denied'
deny\t'Everything is denied'
bypass\t'Everything is allowed'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l when-busy -d 'What happens to the prompt if a turn runs in the session' -r -f -a "refuse\t'It is refused'
queue\t'It waits in the session\'s queue'
steer\t'It goes into the turn that runs, if the agent takes it there'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l spawn-mode -d 'Where the session\'s files are' -r -f -a "same-dir\t'In the directory itself'
worktree\t'In a worktree of its own (not supported yet)'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l attach -d 'Send a file with the prompt; can be repeated, `-` is standard input' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l max-turns -d 'How many prompts the session may run' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l max-tokens -d 'How many tokens the session may use, as far as its agent tells them' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l max-cost -d 'What the session may cost, such as `2.50`, in the currency in which its agent tells it' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l allow -d 'Allow what fits without asking: `execute:cargo *`, `edit:src/**`, `read`' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l deny -d 'Deny what fits without asking. Of both, the first that fits decides' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l permission-timeout -d 'Deny a permission request that nobody answers in this time: `90`, `5m`' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l idle-timeout -d 'Hibernate when there was no turn for this time' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l busy-default -d 'What the session\'s prompts get while a turn runs, where they do not say' -r -f -a "refuse\t'It is refused'
queue\t'It waits in the session\'s queue'
steer\t'It goes into the turn that runs, if the agent takes it there'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l model -d 'The agent\'s model, by the agent\'s own name for it' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l set -d 'Set one of the agent\'s own options; can be repeated' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l mcp-config -d 'Give the agent the MCP servers of this file, `{"mcpServers": {…}}`; can be repeated' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l resume -d 'What brings the session back whose agent, worker or machine died; the turn that was cut off is not run again' -r -f -a "on-prompt\t'The next prompt, with the session\'s context'
always\t'By itself, with its context; queued prompts go on'
never\t'The next prompt, without the context'"
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -s y -l yes -d 'Allow everything: the same as `--permission-mode bypass`'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l queue -d 'If a turn runs in the session, queue the prompt: the same as `--when-busy queue`'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l steer -d 'If a turn runs in the session, give the prompt to the agent in that turn: the same as `--when-busy steer`'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l sandbox -d 'Run the agent in a sandbox (not supported yet)'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l delegate -d 'Give the agent skep\'s own tools: it can open, prompt, watch and close sessions of its own (`skep mcp`)'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from bg" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from attach" -l tail -d 'So many recent turns are shown' -r
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from attach" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from attach" -l read-only -d 'Only watch'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from attach" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from attach" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from attach" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from attach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from kill" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from kill" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from kill" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from kill" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from kill" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "start" -d 'Start the daemon in the background, and wait until it serves. If one runs, report that one'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "stop" -d 'Stop the daemon: every turn is interrupted, every worker ends, then the process. Stopped already is fine'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "restart" -d 'Stop the daemon and start it again with the options that it had, unless others are given'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "reload" -d 'Read the configuration again. An invalid one changes nothing; only workers whose settings changed are restarted'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show the daemon, its workers and its sessions'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "run" -d 'Run the daemon in the foreground, for a service manager or for debugging'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "logs" -d 'Show the daemon\'s log, or a session\'s'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "sessions" -d 'List the sessions'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "bg" -d 'Run a prompt in the background'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "attach" -d 'Come back to a session: see its recent turns, follow it, prompt it, answer it'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "kill" -d 'Kill a session: its agent and everything that it started die at once; its history is kept'
complete -c skep -n "__fish_skep_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand agents" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand agents" -l probe -d 'Start each agent that was found, to see its version and what it can do'
complete -c skep -n "__fish_skep_using_subcommand agents" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand agents" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand agents" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand agents" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -f -a "show" -d 'Print the settings as they are after defaults, file and environment'
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -f -a "check" -d 'Check the configuration file, or another file'
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -f -a "path" -d 'Print where the configuration file is'
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -f -a "init" -d 'Write the default configuration file, every key documented'
complete -c skep -n "__fish_skep_using_subcommand config; and not __fish_seen_subcommand_from show check path init help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from show" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from show" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from check" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from check" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from path" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from path" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from path" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from path" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from path" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from init" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from init" -s f -l force -d 'Replace a file that is there'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from init" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from init" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the settings as they are after defaults, file and environment'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check the configuration file, or another file'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "path" -d 'Print where the configuration file is'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "init" -d 'Write the default configuration file, every key documented'
complete -c skep -n "__fish_skep_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand doctor" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand doctor" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand doctor" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand doctor" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand open" -l scope -d 'What the browser may do, several with commas; without it: of one session `read`, else everything' -r -f -a "read\t'See sessions, their events and logs, and what waits'
prompt\t'Open sessions, prompt, cancel and close'
approve\t'Answer permission requests'
admin\t'Everything else: workers, the daemon, tokens, deletion'"
complete -c skep -n "__fish_skep_using_subcommand open" -l ttl -d 'How long the browser stays signed in: `5m`, `12h`, `7d`, at most 366 days. Without it: 30 days' -r
complete -c skep -n "__fish_skep_using_subcommand open" -l url -d 'Where the browser reaches the daemon, if not at its own address: a tunnel\'s or a reverse proxy\'s' -r
complete -c skep -n "__fish_skep_using_subcommand open" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand open" -l print -d 'Print the link instead, for a browser elsewhere; the same with `--json`'
complete -c skep -n "__fish_skep_using_subcommand open" -l qr -d 'Print it as a QR code, for a phone'
complete -c skep -n "__fish_skep_using_subcommand open" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand open" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand open" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand open" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -f -a "create" -d 'Make a token and print it; it is told this once'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -f -a "ls" -d 'List the tokens and the browsers that are signed in, without their secrets'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -f -a "list" -d 'List the tokens and the browsers that are signed in, without their secrets'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -f -a "revoke" -d 'Revoke a token, or sign a browser out: at once, and the streams that it opened end too'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -f -a "show" -d 'Print the daemon\'s own token, which may do everything'
complete -c skep -n "__fish_skep_using_subcommand token; and not __fish_seen_subcommand_from create ls list revoke show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -l scope -d 'What it allows; several with commas. Each of the others includes `read`; `admin` includes all' -r -f -a "read\t'See sessions, their events and logs, and what waits'
prompt\t'Open sessions, prompt, cancel and close'
approve\t'Answer permission requests'
admin\t'Everything else: workers, the daemon, tokens, deletion'"
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -l session -d 'For this session alone: name, id, or the beginning of either' -r
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -l children-of -d 'Only for sessions that are opened from inside this one, and for opening such' -r
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -l ttl -d 'It ends by itself after this time: `90s`, `5m`, `12h`, `7d`, at most 366 days. Without it: never' -r
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -l name -d 'What it is for, to tell it from others' -r
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from ls" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from ls" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from ls" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from list" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from list" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from list" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from revoke" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from revoke" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from revoke" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from revoke" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from show" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from show" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from show" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a token and print it; it is told this once'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the tokens and the browsers that are signed in, without their secrets'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'Revoke a token, or sign a browser out: at once, and the streams that it opened end too'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the daemon\'s own token, which may do everything'
complete -c skep -n "__fish_skep_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand password; and not __fish_seen_subcommand_from set rm help" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand password; and not __fish_seen_subcommand_from set rm help" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand password; and not __fish_seen_subcommand_from set rm help" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand password; and not __fish_seen_subcommand_from set rm help" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand password; and not __fish_seen_subcommand_from set rm help" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand password; and not __fish_seen_subcommand_from set rm help" -f -a "set" -d 'Set it: typed at a terminal, or the first line of standard input or of a file. Only a hash of it is kept'
complete -c skep -n "__fish_skep_using_subcommand password; and not __fish_seen_subcommand_from set rm help" -f -a "rm" -d 'Remove it. A daemon that listens beyond this machine lets nobody sign in by password then, and does not start again'
complete -c skep -n "__fish_skep_using_subcommand password; and not __fish_seen_subcommand_from set rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from set" -l file -d 'Read it from this file' -r -F
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from set" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from set" -l generate -d 'Make one, and print it, this once'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from set" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from set" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from rm" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from rm" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from rm" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from rm" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set it: typed at a terminal, or the first line of standard input or of a file. Only a hash of it is kept'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove it. A daemon that listens beyond this machine lets nobody sign in by password then, and does not start again'
complete -c skep -n "__fish_skep_using_subcommand password; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand audit" -s n -l lines -d 'Only the last so many lines' -r
complete -c skep -n "__fish_skep_using_subcommand audit" -l since -d 'Only what was done since then: a time such as `2026-11-20T18:00:00Z`, or how long ago, such as `2h` or `7d`' -r
complete -c skep -n "__fish_skep_using_subcommand audit" -l who -d 'Only what this one did: `owner`, `nobody`, the id or the name of a token or browser' -r
complete -c skep -n "__fish_skep_using_subcommand audit" -l session -d 'Only what concerns this session: name, id, or the beginning of either' -r
complete -c skep -n "__fish_skep_using_subcommand audit" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand audit" -l refused -d 'Only what was refused'
complete -c skep -n "__fish_skep_using_subcommand audit" -s f -l follow -d 'Go on as it grows'
complete -c skep -n "__fish_skep_using_subcommand audit" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand audit" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand audit" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -f -a "ls" -d 'List the hooks, and how they do'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -f -a "list" -d 'List the hooks, and how they do'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -f -a "test" -d 'Send an event of its own to a hook, once, and say what came of it'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -f -a "deliveries" -d 'List what waits to be told, was given up, or arrived since the daemon\'s start, the latest first'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -f -a "retry" -d 'Try deliveries again: now if they wait, from the beginning if they were given up'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -f -a "dismiss" -d 'Forget deliveries that wait, or were given up and need nobody any more'
complete -c skep -n "__fish_skep_using_subcommand hooks; and not __fish_seen_subcommand_from ls list test deliveries retry dismiss help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from ls" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from ls" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from ls" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from list" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from list" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from list" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from test" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from test" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from test" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from test" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from deliveries" -l hook -d 'Only those of this hook' -r
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from deliveries" -l state -d 'Only those that stand so' -r -f -a "pending\t'It waits for its next attempt, or is on its way'
dead\t'It was given up'
delivered\t'It arrived'"
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from deliveries" -l limit -d 'At most so many' -r
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from deliveries" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from deliveries" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from deliveries" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from deliveries" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from deliveries" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from retry" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from retry" -l dead -d 'All that were given up'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from retry" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from retry" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from retry" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from dismiss" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from dismiss" -l dead -d 'All that were given up'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from dismiss" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from dismiss" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from dismiss" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from dismiss" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the hooks, and how they do'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from help" -f -a "test" -d 'Send an event of its own to a hook, once, and say what came of it'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from help" -f -a "deliveries" -d 'List what waits to be told, was given up, or arrived since the daemon\'s start, the latest first'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from help" -f -a "retry" -d 'Try deliveries again: now if they wait, from the beginning if they were given up'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from help" -f -a "dismiss" -d 'Forget deliveries that wait, or were given up and need nobody any more'
complete -c skep -n "__fish_skep_using_subcommand hooks; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand acp" -l agent -d 'The agent of new sessions; `skep agents` lists them. The configured default where none is given' -r
complete -c skep -n "__fish_skep_using_subcommand acp" -l permission-mode -d 'What happens to permission requests in new sessions, until the editor chooses another mode' -r -f -a "ask\t'Every request waits for a person'
accept-edits\t'File edits are allowed, the rest waits'
plan\t'Reading is allowed, everything else denied'
deny\t'Everything is denied'
bypass\t'Everything is allowed'"
complete -c skep -n "__fish_skep_using_subcommand acp" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand acp" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand acp" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand acp" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand acp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand mcp" -l token-file -d 'Act under the token in this file, such as `skep token create` makes (also: the token itself in SKEP_TOKEN)' -r -F
complete -c skep -n "__fish_skep_using_subcommand mcp" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand mcp" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand mcp" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand mcp" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand mcp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand api" -s f -l field -d 'A field of the JSON body (`session.name=ci` goes into an object; numbers, true, false, null and JSON are taken as such), or, of a GET or DELETE, of the query' -r
complete -c skep -n "__fish_skep_using_subcommand api" -l input -d 'Send this file as the body; `-` is standard input' -r -F
complete -c skep -n "__fish_skep_using_subcommand api" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand api" -l stream -d 'Ask for a stream of events'
complete -c skep -n "__fish_skep_using_subcommand api" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand api" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand api" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand api" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c skep -n "__fish_skep_using_subcommand openapi" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand openapi" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand openapi" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand openapi" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand openapi" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand completions" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand completions" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand completions" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand completions" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand completions" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand man" -l out -d 'Write the pages here' -r -F
complete -c skep -n "__fish_skep_using_subcommand man" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand man" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand man" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand man" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand man" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand version" -l socket -d 'The daemon\'s socket (also: SKEP_SOCKET)' -r -F
complete -c skep -n "__fish_skep_using_subcommand version" -s v -l verbose -d 'Say more'
complete -c skep -n "__fish_skep_using_subcommand version" -l debug -d 'Write debug logs too'
complete -c skep -n "__fish_skep_using_subcommand version" -l json -d 'Print facts as JSON'
complete -c skep -n "__fish_skep_using_subcommand version" -s h -l help -d 'Print help'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "run" -d 'Run a prompt and stream its output; end with its outcome'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "bg" -d 'Run a prompt in the background'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "prompt" -d 'Prompt an open session and stream the output; never creates one'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "attach" -d 'Come back to a session: see its recent turns, follow it, prompt it, answer it'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "ps" -d 'List the sessions, newest change first'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "logs" -d 'Show a session\'s prompts and output, or with `--type` another of its logs'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "wait" -d 'Block until a session is done, or needs you'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "inbox" -d 'List everything that waits for you, oldest first'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "allow" -d 'Allow what waits for you. Without a request, only if exactly one waits'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "deny" -d 'Deny what waits for you. Without a request, only if exactly one waits'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "set" -d 'Change the settings of an open session: all that is given, or nothing'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "cancel" -d 'Cancel the turn that runs in a session. No turn is no error'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "release" -d 'Let a session\'s held prompts go on'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "close" -d 'Close a session: its agent is asked to end, its history is kept, its name is free again'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "kill" -d 'Kill a session: its agent and everything that it started die at once; its history is kept'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "rm" -d 'Delete a session\'s history. An open session is killed and deleted only with `-f`'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "worker" -d 'Look at workers, and restart, park or unpark them'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "daemon" -d 'Start, stop and look at the daemon. Without a subcommand: its status'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "agents" -d 'List the agents, which of them were found here, and where'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "config" -d 'Show, check or write the configuration'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "doctor" -d 'Check this installation: files, permissions, the daemon, leftovers, the configuration, the agents'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "open" -d 'Sign a browser in: opens it with a link that works once, within five minutes'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "token" -d 'Make, list and revoke tokens for the API. Browsers that are signed in are listed and revoked as well'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "password" -d 'Set or remove the password with which browsers sign in on addresses beyond this machine'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "audit" -d 'Show who did what: every request that changed something, and every one that was refused to whoever made it'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "hooks" -d 'See who is told of what happens (`[hooks.NAME]` in the configuration), try a hook, and what it had to tell'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "acp" -d 'Be an ACP agent for an editor, on standard input and output'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "mcp" -d 'Be an MCP server, on standard input and output: tools that open, prompt, watch and close sessions'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "api" -d 'Call the HTTP API by hand and print the answer as it comes'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "openapi" -d 'Print the OpenAPI document of the HTTP API'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "completions" -d 'Print the completion script for a shell'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "man" -d 'Print the manual page, or write one page per command into a directory'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "version" -d 'Print the version, and the running daemon\'s'
complete -c skep -n "__fish_skep_using_subcommand help; and not __fish_seen_subcommand_from run bg prompt attach ps logs wait inbox allow deny set cancel release close kill rm worker daemon agents config doctor open token password audit hooks acp mcp api openapi completions man version help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from worker" -f -a "ls" -d 'List the workers'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from worker" -f -a "restart" -d 'Restart a worker; its turns are interrupted'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from worker" -f -a "park" -d 'Stop a worker, and keep it stopped until it is unparked'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from worker" -f -a "unpark" -d 'Let a parked worker start again'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from worker" -f -a "kill" -d 'Kill a worker and remove it'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from worker" -f -a "logs" -d 'Show what workers wrote, each line with its worker\'s name'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "start" -d 'Start the daemon in the background, and wait until it serves. If one runs, report that one'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "stop" -d 'Stop the daemon: every turn is interrupted, every worker ends, then the process. Stopped already is fine'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "restart" -d 'Stop the daemon and start it again with the options that it had, unless others are given'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "reload" -d 'Read the configuration again. An invalid one changes nothing; only workers whose settings changed are restarted'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "status" -d 'Show the daemon, its workers and its sessions'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "run" -d 'Run the daemon in the foreground, for a service manager or for debugging'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "logs" -d 'Show the daemon\'s log, or a session\'s'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "sessions" -d 'List the sessions'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "bg" -d 'Run a prompt in the background'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "attach" -d 'Come back to a session: see its recent turns, follow it, prompt it, answer it'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "kill" -d 'Kill a session: its agent and everything that it started die at once; its history is kept'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the settings as they are after defaults, file and environment'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Check the configuration file, or another file'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "path" -d 'Print where the configuration file is'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "init" -d 'Write the default configuration file, every key documented'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "create" -d 'Make a token and print it; it is told this once'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "ls" -d 'List the tokens and the browsers that are signed in, without their secrets'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "revoke" -d 'Revoke a token, or sign a browser out: at once, and the streams that it opened end too'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "show" -d 'Print the daemon\'s own token, which may do everything'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from password" -f -a "set" -d 'Set it: typed at a terminal, or the first line of standard input or of a file. Only a hash of it is kept'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from password" -f -a "rm" -d 'Remove it. A daemon that listens beyond this machine lets nobody sign in by password then, and does not start again'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from hooks" -f -a "ls" -d 'List the hooks, and how they do'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from hooks" -f -a "test" -d 'Send an event of its own to a hook, once, and say what came of it'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from hooks" -f -a "deliveries" -d 'List what waits to be told, was given up, or arrived since the daemon\'s start, the latest first'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from hooks" -f -a "retry" -d 'Try deliveries again: now if they wait, from the beginning if they were given up'
complete -c skep -n "__fish_skep_using_subcommand help; and __fish_seen_subcommand_from hooks" -f -a "dismiss" -d 'Forget deliveries that wait, or were given up and need nobody any more'

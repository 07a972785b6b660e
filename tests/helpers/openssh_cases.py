"""Configurations and files of host keys as people have them, for OpenSSH's client and ours."""

from __future__ import annotations

from dataclasses import dataclass, field

#: The configuration where only the host keys are of interest.
PLAIN = """
Host pi
    HostName 127.0.0.1
    Port {port}
    IdentityFile {keys}/key
    UserKnownHostsFile {folder}/known
"""
KNOWN = "{name} {ed25519}\n"
_KEYED = "IdentityFile {keys}/key\nUserKnownHostsFile {folder}/known\n"
_HERE = "HostName 127.0.0.1\nPort {port}\n"
_GOOD = f"{_HERE}{_KEYED}"


@dataclass(frozen=True)
class Case:
    """Files of a folder, `config` and `known` among them, and whom to connect to.

    `agent`: names of the keys that the SSH agent has. `for_files`: whether our own reader of configurations,
    which is for machines without OpenSSH, is to understand it in the same way.
    """

    name: str
    config: str | bytes = PLAIN
    known: str | bytes = KNOWN
    more: dict[str, str | bytes] = field(default_factory=dict)
    alias: str = "pi"
    agent: tuple[str, ...] = ()
    for_files: bool = True

    @property
    def files(self) -> dict[str, str | bytes]:
        return {"config": self.config, "known": self.known, **self.more}


def _known(name: str, known: str | bytes, config: str = PLAIN) -> Case:
    return Case(name, config=config, known=known)


def _strict(value: str) -> str:
    return f"{PLAIN}    StrictHostKeyChecking {value}\n"


def _jump(hops: str) -> str:
    return f"Host pi\nProxyJump {hops}\nHost hop\nHostName 127.0.0.1\nPort {{port}}\nHost *\n{_GOOD}"


_BOTH = "{name},[localhost]:{port} {ed25519}\n"
_RELAYED = "ProxyCommand {relay}"

CONFIGURATIONS = (
    Case("plain"),
    Case("equals signs, tabs and case", "HOST=pi\n\thostname = 127.0.0.1\n\tPORT={port}\n" + _KEYED),
    Case("carriage returns", PLAIN.replace("\n", "\r\n")),
    Case("no newline at the end", PLAIN.strip()),
    Case("byte order mark", "\ufeff" + PLAIN.strip()),
    Case("comments", "# one\n  # two\n\n" + PLAIN.replace("{port}", "{port} # the board's") + "# end"),
    Case("no host line", _GOOD, alias="whoever"),
    Case("quoted host", 'Host "pi"\n' + _GOOD),
    Case("quoted values", 'Host pi\nHostName "127.0.0.1"\nPort "{port}"\nUser "{user}"\n' + _KEYED),
    Case(
        "paths with spaces",
        'Host pi\nIdentityFile "{folder}/my keys/a key"\n'
        'UserKnownHostsFile "{folder}/my keys/known hosts"\n' + _HERE,
        more={"my keys/a key": "{private}", "my keys/known hosts": KNOWN},
    ),
    Case(
        "several files of host keys, one with spaces",
        'Host pi\nUserKnownHostsFile /nonexistent/a "{folder}/known hosts" {folder}/known\n'
        "IdentityFile {keys}/key\n" + _HERE,
        known="",
        more={"known hosts": KNOWN},
    ),
    Case("first value wins", PLAIN + "Host *\nPort 1\nHostName 192.0.2.1\n"),
    Case("first value wins, a wrong one", "Host pi\nPort 1\n" + PLAIN),
    Case("pattern", PLAIN.replace("Host pi", "Host other p? *.example")),
    Case("pattern that is negated", PLAIN.replace("Host pi", "Host p* !pi") + "Host pi\nPort 1\n"),
    Case("negation of others", PLAIN.replace("Host pi", "Host !other p*")),
    Case("negation alone", PLAIN.replace("Host pi", "Host !other")),
    Case("pattern of names in another case", PLAIN, alias="PI"),
    Case("match host", "Match host pi\n" + _GOOD),
    Case("match host after a name was given", "Host pi\nHostName 127.0.0.1\nMatch host 127.*\n" + _GOOD),
    Case("match original host", "Host pi\nHostName 127.0.0.1\nMatch originalhost pi,x\n" + _GOOD),
    Case("match user", "Host pi\nUser {user}\nMatch user {user} host pi\n" + _GOOD),
    Case("match user of this machine", "Match localuser {user} originalhost pi\n" + _GOOD),
    Case("match another user", "Match user !{user}\nPort 1\nMatch all\n" + _GOOD),
    Case("match a list", "Match originalhost a,b*,pi\n" + _GOOD),
    Case("match exec", 'Match originalhost pi exec "test %n = pi"\n' + _GOOD),
    Case("match exec that fails", 'Match exec "test %n = x"\nPort 1\nMatch !exec false\n' + _GOOD),
    Case("match final", "Match final host 127.*\nPort {port}\nHost pi\nHostName 127.0.0.1\n" + _KEYED),
    Case("match nothing that is known", "Match nonsense pi\n" + _GOOD),
    Case("match without a value", "Match host\n" + _GOOD),
    Case("included file", "Include {folder}/more\n", more={"more": PLAIN}),
    Case("included files", "Include {folder}/d/*.conf\n", more={"d/a.conf": PLAIN, "d/b.conf": "Port 1\n"}),
    Case("included file that is missing", "Include /nonexistent/file\n" + PLAIN),
    Case(
        "included for others",
        "Host other\nInclude {folder}/more\n" + PLAIN,
        more={"more": "Port 1\nHost pi\nPort 2\nMatch all\nPort 3\n"},
    ),
    Case(
        "block after an included one",
        "Host pi\nInclude {folder}/more\n" + _GOOD,
        more={"more": "Host other\nPort 1\n"},
    ),
    Case("included in itself", "Include {folder}/config\n" + PLAIN),
    Case("unknown option", PLAIN + "Frobnicate yes\n", for_files=False),
    Case("unknown option that is ignored", "IgnoreUnknown Frob*\n" + PLAIN + "Frobnicate yes\n"),
    Case("option without a value", PLAIN + "User\n"),
    Case("port that is none", "Host pi\nPort many\n" + PLAIN),
    Case("port that is too large", "Host pi\nPort 99999\n" + PLAIN),
    Case("host name with a token", f"Host 0.0.1\nHostName 127.%h\nPort {{port}}\n{_KEYED}", alias="0.0.1"),
    Case("user", "Host pi\nUser {user}\n" + PLAIN),
    Case("another user", "Host pi\nUser nobody-here\n" + PLAIN),
    # Keys.
    Case("several keys", "Host pi\nIdentityFile {keys}/stranger\nIdentityFile {keys}/second\n" + PLAIN),
    Case("key that is missing", "Host pi\nIdentityFile /nonexistent/key\n" + PLAIN),
    Case("key that is none", "Host pi\nIdentityFile {folder}/rubbish\n" + PLAIN, more={"rubbish": b"\0\1\2"}),
    Case("key of nobody", PLAIN.replace("/key", "/stranger")),
    Case("no key", PLAIN.replace("{keys}/key", "none")),
    Case("key that others may read", PLAIN.replace("/key", "/open")),
    Case("key with a passphrase", PLAIN.replace("/key", "/locked")),
    Case("key with a passphrase and another", "Host pi\nIdentityFile {keys}/locked\n" + PLAIN),
    Case("tokens in a key's path", PLAIN.replace("{keys}/key", "{folder}/%n-%r-%p-%h-%%-%u/../../keys/key")),
    Case("home in a key's path", PLAIN.replace("{keys}/key", "%d/../{keys}/key")),
    Case("tilde in a key's path", PLAIN.replace("{keys}/key", "~/..{keys}/key")),
    Case("variable in a key's path", PLAIN.replace("{keys}/key", "${JUDGED_KEYS}/key")),
    Case("variable that is not set", PLAIN.replace("{keys}/key", "${JUDGED_NOTHING}/key")),
    Case("public keys are off", PLAIN + "PubkeyAuthentication no\n"),
    Case("agent alone", PLAIN.replace("{keys}/key", "none"), agent=("in_agent",)),
    Case("agent before files", agent=("in_agent",)),
    Case("agent's named keys first", agent=("in_agent", "key")),
    Case("only named keys", PLAIN + "IdentitiesOnly yes\n", agent=("in_agent",)),
    Case(
        "only named keys, none of them",
        PLAIN.replace("{keys}/key", "none\nIdentitiesOnly yes"),
        agent=("key",),
    ),
    Case(
        "public part of an agent's key",
        PLAIN.replace("{keys}/key", "{keys}/agent.pub\nIdentitiesOnly yes"),
        agent=("key", "in_agent"),
    ),
    Case(
        "agent's key with a passphrase in the file",
        PLAIN.replace("{keys}/key", "{keys}/locked\nIdentitiesOnly yes"),
        agent=("key", "unlocked"),
    ),
    Case("no agent", PLAIN.replace("{keys}/key", "none\nIdentityAgent none"), agent=("key",)),
    Case("agent of a variable", PLAIN + "IdentityAgent $SSH_AUTH_SOCK\n", agent=("in_agent",)),
    Case("agent of the environment", PLAIN + "IdentityAgent SSH_AUTH_SOCK\n", agent=("in_agent",)),
    Case("agent that is not there", PLAIN + "IdentityAgent {folder}/nothing\n", agent=("in_agent",)),
    Case("certificate beside the key", PLAIN.replace("/key", "/certified")),
    Case(
        "certificate that is named",
        PLAIN.replace("{keys}/key", "{folder}/copy\nCertificateFile {keys}/certified-cert.pub"),
        more={"copy": "{certified}"},
    ),
    # The server's keys.
    Case("alias", PLAIN + "HostKeyAlias board\n", known="board {ed25519}\n"),
    Case("alias in capitals", PLAIN + "HostKeyAlias Board\n", known="board {ed25519}\n"),
    Case("alias that is not known", PLAIN + "HostKeyAlias board\n"),
    Case("alias with the port", PLAIN + "HostKeyAlias board\n", known="[board]:{port} {ed25519}\n"),
    Case("strict", _strict("yes"), known=""),
    Case("strict as asked for", _strict("ask"), known=""),
    Case("new ones are accepted", _strict("accept-new"), known="# mine\n"),
    Case("new ones are accepted and hashed", _strict("accept-new") + "HashKnownHosts yes\n", known=""),
    Case("new ones are accepted, this is another", _strict("accept-new"), known="{name} {other}\n"),
    Case("anything is accepted", _strict("no"), known=""),
    Case("anything is accepted, also another", _strict("off"), known="{name} {other}\n"),
    Case("anything is accepted, also a revoked one", _strict("no"), known="@revoked * {ed25519}\n"),
    Case("nowhere to note", _strict("no").replace("{folder}/known", "/dev/null")),
    Case("the system's file", PLAIN.replace("User", "Global", 1) + "UserKnownHostsFile none\n"),
    Case("no files", PLAIN.replace("{folder}/known", "none") + "GlobalKnownHostsFile none\n"),
    Case("tokens in the path", PLAIN.replace("/known", "/%n/known"), more={"pi/known": KNOWN}, known=""),
    Case("this machine needs no proof", PLAIN + "NoHostAuthenticationForLocalhost yes\n", known=""),
    Case(
        "address known with another key",
        PLAIN.replace("127.0.0.1", "localhost") + "CheckHostIP yes\nAddressFamily inet\n",
        known="[localhost]:{port} {ed25519}\n{name} {other}\n",
    ),
    Case("revoked", PLAIN + "RevokedHostKeys {folder}/revoked\n", more={"revoked": "{ed25519}\n"}),
    Case("others are revoked", PLAIN + "RevokedHostKeys {folder}/revoked\n", more={"revoked": "{other}\n"}),
    Case("list of revoked ones is missing", PLAIN + "RevokedHostKeys /nonexistent\n"),
    # Algorithms and the network.
    Case("ciphers", PLAIN + "Ciphers aes256-ctr,aes128-ctr\n"),
    Case("fewer ciphers", PLAIN + "Ciphers -aes128*\n"),
    Case("no such cipher", PLAIN + "Ciphers rot13\n", for_files=False),
    Case("key exchange", PLAIN + "KexAlgorithms curve25519-sha256\n"),
    Case("digests", PLAIN + "Ciphers aes128-ctr\nMACs hmac-sha2-512\n"),
    Case("host key algorithm", PLAIN + "HostKeyAlgorithms rsa-sha2-512\n", known="{name} {rsa}\n"),
    Case("another host key algorithm", PLAIN + "HostKeyAlgorithms ssh-ed25519\n", known="{name} {rsa}\n"),
    Case("compression", PLAIN + "Compression yes\n"),
    Case("time to connect", PLAIN + "ConnectTimeout 10s\n"),
    Case("family", PLAIN + "AddressFamily inet\n"),
    Case("family of another kind", PLAIN + "AddressFamily inet6\n"),
    Case("own address", PLAIN + "BindAddress 127.0.0.2\n"),
    Case("own address that is not ours", PLAIN + "BindAddress 192.0.2.1\n"),
    Case("canonical names", PLAIN + "CanonicalizeHostname yes\nCanonicalDomains example.invalid\n"),
    # The way.
    Case("no way", PLAIN + "ProxyJump none\nProxyCommand none\n"),
    Case("jump", _jump("{user}@localhost:{port}"), _BOTH),
    Case("jump by URI", _jump("ssh://{user}@localhost:{port}"), _BOTH),
    Case("jump with a token", _jump("%r@localhost:{port}"), _BOTH),
    Case("jump to the same address", _jump("{user}@127.0.0.1:{port}"), for_files=False),
    Case("jump that is none", _jump("a@b@c:d")),
    Case("jump by name", _jump("hop")),
    Case("two jumps", _jump("hop,{user}@localhost:{port}"), _BOTH),
    Case("jump of a jump", _jump("b\nHost b\nProxyJump hop")),
    Case("jump before command", _jump("hop\nProxyCommand false")),
    Case("command", f"Host pi\n{_RELAYED} %h %p\n" + PLAIN),
    Case("command with quotes", f"Host pi\n{_RELAYED} \"%h\" '%p' # x\n" + PLAIN),
    Case("command with every token", f"Host pi\n{_RELAYED} %h %p %n %r %k 100%%\n" + PLAIN),
    Case("command before jump", f"Host pi\n{_RELAYED} %h %p\nProxyJump nowhere\n" + PLAIN),
    Case("command that fails", "Host pi\nProxyCommand false\n" + PLAIN),
    Case("command with an unknown token", f"Host pi\n{_RELAYED} %h %p %Z\n" + PLAIN),
)

_GARBAGE = b"\x00\xff\xfe\n{name}\n{name} ssh-ed25519\n{name} ssh-ed25519 AAAA\n{name} ssh-ed25519 %%%\n"

KNOWN_HOSTS = (
    _known("empty", ""),
    _known("hashed", "{hashed} {ed25519}\n"),
    _known("hashed, another", "{hashed_other} {ed25519}\n"),
    _known("several names", "a,{name},b {ed25519}\n"),
    _known("star", "[127.0.*]:* {ed25519}\n"),
    _known("question mark", "[127.0.0.?]:{port} {ed25519}\n"),
    _known("everything", "* {ed25519}\n"),
    _known("negated", "*,!{name} {ed25519}\n"),
    _known("negated first", "!{name},* {ed25519}\n"),
    _known("negated others", "*,!127.0.0.9 {ed25519}\n"),
    _known("without the port", "127.0.0.1 {ed25519}\n"),
    _known("hashed without the port", "{hashed_plain} {ed25519}\n"),
    _known("other port", "[127.0.0.1]:1 {ed25519}\n"),
    _known("other key with the port, right one without", "{name} {other}\n127.0.0.1 {ed25519}\n"),
    _known("comment behind", "{name} {ed25519} root@board # x\n"),
    _known("comments and empty lines", "# a\n\n   \n\t# b\n{name} {ed25519}\n"),
    _known("blanks", " \t{name} \t {ed25519}\n"),
    _known("carriage returns", "# a\r\n{name} {ed25519}\r\n"),
    _known("carriage returns behind a comment", "{name} {ed25519} root@board\r\n"),
    _known("byte order mark before the entry", "\ufeff{name} {ed25519}\n"),
    _known("byte order mark before a comment", "\ufeff# mine\n{name} {ed25519}\n"),
    _known("no newline at the end", "{name} {ed25519}"),
    _known("garbage", _GARBAGE + b"{name} {ed25519}\n"),
    _known("garbage alone", _GARBAGE),
    _known("Latin-1", b"{name} {ed25519} b\xe4r\n"),
    _known("a line of 100 kB", "x" * 100_000 + "\n{name} {ed25519}\n"),
    _known("kind that nobody knows", "{name} ssh-future AAAACnNzaC1mdXR1cmU=\n{name} {ed25519}\n"),
    _known("kind of long ago", "{name} 1024 35 1234567890\n{name} {ed25519}\n"),
    _known("kind that is not the key's", "{name} ssh-rsa {ed25519}\n"),
    _known("ECDSA", "{name} {ecdsa}\n"),
    _known("RSA", "{name} {rsa}\n"),
    _known("RSA and another Ed25519", "{name} {other}\n{name} {rsa}\n"),
    _known("another key", "{name} {other}\n"),
    _known("another key, then the right one", "{name} {other}\n{name} {ed25519}\n"),
    _known("the right key, then another", "{name} {ed25519}\n{name} {other}\n"),
    _known("capitals", "[LOCALHOST]:{port} {ed25519}\n", PLAIN.replace("127.0.0.1", "LocalHost")),
    _known("revoked", "{name} {ed25519}\n@revoked {name} {ed25519}\n"),
    _known("revoked everywhere", "@revoked * {ed25519}\n{name} {ed25519}\n"),
    _known("revoked elsewhere", "@revoked other {ed25519}\n{name} {ed25519}\n"),
    _known("another is revoked", "@revoked * {other}\n{name} {ed25519}\n"),
    _known("authority", "@cert-authority * {ca}\n"),
    _known("authority for the address", "@cert-authority [127.0.0.1]:* {ca}\n"),
    _known("authority without the port", "@cert-authority 127.0.0.1 {ca}\n"),
    _known("authority for others", "@cert-authority *.example {ca}\n"),
    _known("authority of others", "@cert-authority * {other}\n"),
    _known("authority of others, known by itself", "@cert-authority * {other}\n{name} {ed25519}\n"),
    _known("authority that is revoked", "@cert-authority * {ca}\n@revoked * {ca}\n"),
    _known("authority, key revoked", "@cert-authority * {ca}\n@revoked * {ed25519}\n"),
    _known("authority, another key", "@cert-authority * {ca}\n{name} {other}\n"),
    _known("certificate for another name", "@cert-authority * {ca}\n", PLAIN + "HostKeyAlias x\n"),
    _known("certificate for this alias", "@cert-authority * {ca}\n", PLAIN + "HostKeyAlias board.example\n"),
    _known("unknown marker", "@frob * {ed25519}\n"),
    _known("two markers", "@revoked @cert-authority * {ed25519}\n{name} {ed25519}\n"),
    _known("marker alone", "@revoked\n@\n{name} {ed25519}\n"),
    _known("hash with a name", "{hashed},{name} {ed25519}\n"),
    _known("broken hashes", "|1|x|y {ed25519}\n|1| {ed25519}\n|2|a|b {ed25519}\n{name} {ed25519}\n"),
    _known("key twice", "{name} {ed25519}\n{name} {ed25519}\n"),
    _known("key with something behind", "{name} {ed25519}AAAA\n"),
)

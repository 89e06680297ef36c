"""The command line: parses, then calls one job.

Nothing heavy is imported before the arguments are known to be right, so ``--help`` answers at once. Exit codes:
0 done, 2 the user's input (one line on stderr), 1 a fault of ours (with traceback), 130 interrupted, 141 the
reader of our output has gone.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from mindleak import __version__, interruption
from mindleak.errors import InputError, nearest
from mindleak.printable import for_stream, one_line, say

if TYPE_CHECKING:
    from mindleak.subjects.session import Session

# Where what the disk says is the user's to put right: no room, no right, or a name that no file can have.
_DISK_REFUSES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_NAME_REFUSED = {errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EIO,
                 errno.ESTALE, errno.ENXIO, errno.EFBIG}

_GOES_ON = {
    "train": "; the same command with --resume goes on from the last finished epoch",
    "audit": "; the same command goes on from the last finished stage or epoch",
    "attack": "; the same command goes on from the last finished stage or epoch",
    "delete": "; the same command goes on from the last finished slice or epoch",
}


class _Parser(argparse.ArgumentParser):
    """Ends with one line, naming the nearest known word, instead of a page of usage."""

    def __init__(self, **options: Any) -> None:
        # An abbreviation that is clear today may mean another option in the next version.
        super().__init__(**options, allow_abbrev=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, refusing what is left over here, where the sub-command's options are known."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            raise InputError(self._complaint(rest[0].partition("=")[0]))
        for action in self._actions:
            value = getattr(found, action.dest, None)
            if action.option_strings and isinstance(value, str) and not value.strip():
                raise InputError(f"{action.option_strings[0]} is empty; expected {action.metavar}")
        return found, rest

    def _complaint(self, word: str) -> str:
        """Say what is wrong with a word that nothing takes."""
        if not word.startswith("-"):
            return f"unexpected argument '{word}' for {self.prog}"
        from mindleak.settings import option_keys

        options = {option: option for option in self._option_string_actions if option.startswith("--")}
        if "--set" in options:
            options = {f"--{last}": f"--set {path}=..." for last, path in option_keys().items()} | options
        match = difflib.get_close_matches(f"--{word.lstrip('-').replace('-', '_')}", options, n=1)
        if match:
            return f"'{word}' is not an option of {self.prog}; did you mean '{options[match[0]]}'?"
        return f"'{word}' is not an option of {self.prog} (see {self.prog} --help)"

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help or version in characters that the terminal has."""
        super()._print_message(for_stream(message, file), file)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found as the user's input error."""
        choice = re.search(r"invalid choice: '?([^']*?)'? \(choose from (.*)\)", message)
        if choice:
            known = re.findall(r"[\w-]+", choice.group(2))
            given = choice.group(1)
            raise InputError(f"'{given}' is not a sub-command of {self.prog}{nearest(given, known)}")
        raise InputError(f"{message} (see {self.prog} --help)")


def build_parser(words: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of all sub-commands.

    Args:
        words: the command line; for one without ``attack`` nobody looks up which families there are.
    """
    parser = _Parser(prog="mindleak", description="Privacy and robustness audit of image classifiers on MindSpore.")
    parser.add_argument("--version", action="version", version=f"mindleak {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_train(commands)
    _add_predict(commands)
    _add_attack(commands, words is None or "attack" in words)
    _add_delete(commands)
    audit = commands.add_parser("audit", help="train, attack and report, as stages that can be killed and resumed")
    _common(audit)
    report = commands.add_parser("report", help="render the pages of a finished audit or attack again")
    report.add_argument("--run_dir", required=True, metavar="DIR", help="directory of the run")
    _add_data(commands)
    config = commands.add_parser("config", help="what can be set: all keys with defaults and ranges")
    config.add_argument("key", nargs="?", metavar="KEY", help="only this section or key, e.g. training.epochs")
    config.add_argument("--markdown", action="store_true", help="as a page of the documentation, all keys")
    doctor = commands.add_parser("doctor", help="versions, devices, data, and known bad combinations")
    doctor.add_argument("--data_dir", metavar="DIR", help="folder with the data sets")
    return parser


def _add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train a subject on the whole training split")
    _common(train)
    choice = train.add_mutually_exclusive_group()
    choice.add_argument("--resume", action="store_true", help="continue an interrupted training")
    choice.add_argument("--restart", action="store_true", help="start an interrupted training over")


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", help="predicted and actual class of a few test images")
    _common(predict)
    predict.add_argument("-n", type=int, default=20, metavar="N", help="how many images (20)")
    predict.add_argument("--best", action="store_true",
                         help="by the epoch with the highest accuracy on the test split, instead of the last one")
    predict.add_argument("--show", action="store_true", help="also open the picture in a window")


def _add_attack(commands: Any, asked: bool) -> None:
    attack = commands.add_parser("attack", help="one attack on one or more subjects")
    kinds = attack.add_subparsers(dest="attack", required=True, metavar="ATTACK", parser_class=_Parser)
    if not asked:
        return
    from mindleak.audits.families import attack_families

    for name, family in attack_families().items():
        parser = kinds.add_parser(name, help=family.help)
        _common(parser)
        for option in family.options:
            parser.add_argument(option.flag, dest=_destination(option.key), metavar=option.metavar, help=option.help,
                                type=_names if option.many else str)


def _add_delete(commands: Any) -> None:
    delete = commands.add_parser("delete", help="delete training samples exactly, and keep or verify the ledger of it")
    _common(delete)
    delete.add_argument("--forget", action="append", default=[], metavar="REQUEST",
                        help="which: a fraction such as 0.05, class:3, group:20, exposed:100, or a .npy file of row "
                        "numbers; may be given several times")
    delete.add_argument("--verify", action="store_true",
                        help="train the shards that were touched again, and compare with the ledger")


def _destination(key: str) -> str:
    """Return under which name the parser keeps what is given for a configuration key."""
    return f"key {key}"


def _names(text: str) -> list[str]:
    """Split a list of names at its commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", help="list, verify or download data sets")
    actions = data.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    for action, text in (("list", "all data sets, and which are here"), ("verify", "check a data set's files"),
                         ("download", "fetch a data set")):
        sub = actions.add_parser(action, help=text)
        sub.add_argument("--data_dir", metavar="DIR", help="folder with the data sets (or MINDLEAK_DATA_DIR)")
        if action != "list":
            sub.add_argument("name", metavar="NAME", help="data set")
        if action == "download":
            sub.add_argument("--mirror", action="append", default=[], metavar="URL",
                             help="folder address to fetch from instead; may be repeated")


def _common(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command on a run has, in MindSpore's spelling."""
    add = parser.add_argument
    add("--config", metavar="FILE", help="YAML file over the defaults")
    add("--model", metavar="NAME|FILE.py:Class",
        help="architecture, registered or of your own; or no network: decision_tree, random_forest, kmeans")
    add("--ckpt", metavar="FILE", help="attack or use this checkpoint instead of training")
    add("--members", metavar="FILE.npy", help="rows of the training split that the checkpoint was trained on")
    add("--dataset", metavar="NAME", help="data set (data.name)")
    add("--data_dir", metavar="DIR", help="folder with the data sets (or MINDLEAK_DATA_DIR)")
    add("--device_target", metavar="TARGET", help="CPU, GPU, Ascend or auto")
    add("--device_id", type=int, metavar="N", help="number of the card")
    add("--run_dir", metavar="DIR", help="where results go (runs/<config>-<seed>)")
    add("--ckpt_dir", metavar="DIR", help="where checkpoints go (ckpt/<run name>)")
    add("--seed", type=int, metavar="N", help="seed of everything random")
    add("--suppress_engine", metavar="ENGINE", help="graph (compiled) or mindarmour (its own classes, the reference)")
    add("--set", action="append", default=[], dest="assignments", metavar="KEY=VALUE",
        help="set any configuration key, e.g. training.epochs=3; may be repeated")


_OPTION_KEYS = {
    "model": "model.name",
    "ckpt": "model.checkpoint",
    "members": "model.members",
    "dataset": "data.name",
    "data_dir": "data.dir",
    "device_target": "device.target",
    "device_id": "device.id",
    "seed": "seed",
    "suppress_engine": "suppress.engine",
}


def assignments(arguments: argparse.Namespace) -> list[str]:
    """Return what the command line says about the configuration, as ``key=value``; --set comes last and wins."""
    given = {key: getattr(arguments, option, None) for option, key in _OPTION_KEYS.items()}
    given |= {option.removeprefix("key "): value for option, value in vars(arguments).items()
              if option.startswith("key ")}
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None] + arguments.assignments


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    return _guarded(list(sys.argv[1:] if argv is None else argv),
                    lambda words: _dispatch(build_parser(words).parse_args(words), words))


def _guarded(words: list[str], command: Callable[[list[str]], None]) -> int:
    """Call a command with its words and return the exit code for how it ends."""
    try:
        with interruption.raised():
            command(words)
        if sys.stdout is not None:
            sys.stdout.flush()
    except InputError as error:
        return _refuse(str(error))
    except MemoryError as error:
        return _refuse(f"not enough memory ({error or 'no more to be had'}); lower the image size or a batch size")
    except KeyboardInterrupt:
        name = next((word for word in words if word in _GOES_ON), "")
        say(f"mindleak: interrupted{_GOES_ON.get(name, '')}", sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()
        return 141
    except OSError as error:
        if error.errno in _NAME_REFUSED:
            which = "a file" if error.filename is None else f"'{os.fsdecode(error.filename)}'"
            return _refuse(f"cannot use {which}: {(error.strerror or str(error)).lower()}")
        if error.errno not in _DISK_REFUSES:
            raise
        _drop_output()
        return _refuse(f"cannot write {error.filename or 'the output'}: {(error.strerror or str(error)).lower()}")
    return 0


def check(argv: Sequence[str], workers: int = 1) -> int:
    """Do of a command what can be known to fail, and no more; return 0, or 2 after saying what is wrong.

    Of several processes every one would refuse the same, half a minute later: ``run_ascend.sh`` asks once.

    Args:
        argv: the command line.
        workers: how many processes will run it.
    """
    return _guarded(list(argv), lambda words: _in_advance(build_parser(words).parse_args(words), workers))


def _in_advance(arguments: argparse.Namespace, workers: int) -> None:
    """Load and plan what a command on a run would, on the CPU."""
    if not hasattr(arguments, "assignments"):
        return
    from mindleak import settings
    from mindleak.audits.families import families

    families()
    merged = settings.load(arguments.config, assignments(arguments))
    if arguments.command in ("predict", "delete"):
        return
    from mindleak.jobs.session import session_in_advance

    with session_in_advance(merged, arguments.run_dir, arguments.ckpt_dir, workers) as session:
        from mindleak.jobs.check import run_check

        trains = arguments.command == "train"
        run_check(session, trains, _asked(arguments), trains and arguments.resume, trains and arguments.restart)


def _refuse(message: str) -> int:
    """Say in one line what is wrong with the user's input; return the exit code for it."""
    say(one_line(f"mindleak: {message}", encoding=getattr(sys.stderr, "encoding", None)), sys.stderr)
    return 2


def _drop_output() -> None:
    """Send to nowhere what is still to be printed: Python would try once more at exit, and complain."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: argparse.Namespace, words: list[str]) -> None:
    """Call the command's job."""
    if arguments.command == "report":
        from mindleak.jobs.report import run_report

        run_report(arguments.run_dir)
    elif arguments.command == "data":
        _data(arguments)
    elif arguments.command == "config":
        from mindleak.jobs.config import run_config

        run_config(arguments.key, arguments.markdown)
    elif arguments.command == "doctor":
        from mindleak.jobs.doctor import run_doctor

        run_doctor(arguments.data_dir)
    else:
        _on_a_run(arguments, words)


def _data(arguments: argparse.Namespace) -> None:
    """Call one of the data jobs."""
    from mindleak.jobs import data

    if arguments.action == "list":
        data.run_list(arguments.data_dir)
    elif arguments.action == "verify":
        data.run_verify(arguments.name, arguments.data_dir)
    else:
        data.run_download(arguments.name, arguments.data_dir, arguments.mirror)


def _on_a_run(arguments: argparse.Namespace, words: list[str]) -> None:
    """Merge the configuration, open the run, and call a job on it."""
    from mindleak import settings
    from mindleak.audits.families import families

    families()
    merged = settings.load(arguments.config, assignments(arguments))
    from mindleak.jobs.session import session_alone

    with session_alone(merged, arguments.run_dir, arguments.ckpt_dir, shlex.join(["mindleak", *words]),
                       trains=arguments.command != "predict") as session:
        _in_session(arguments, session)


def _in_session(arguments: argparse.Namespace, session: Session) -> None:
    """Call a job on a run."""
    if arguments.command == "train":
        from mindleak.jobs.train import run_train

        run_train(session, arguments.resume, arguments.restart)
    elif arguments.command == "predict":
        from mindleak.jobs.predict import run_predict

        run_predict(session, arguments.n, arguments.show, arguments.best)
    elif arguments.command == "delete":
        from mindleak.jobs.delete import run_delete

        run_delete(session, arguments.forget, arguments.verify)
    else:
        from mindleak.jobs.audit import run_audit

        run_audit(session, _asked(arguments))


def _asked(arguments: argparse.Namespace) -> tuple[str, ...] | None:
    """Return the family that a command asks for alone; None for all."""
    return (arguments.attack,) if arguments.command == "attack" else None

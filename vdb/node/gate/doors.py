"""All doors of a node: the methods of its interface, and what each asks the policy for.

A method that isn't listed is refused. Where the action depends on what is asked (a statement of SQL), the guard of that
door asks for it; here stands what the caller needs at least one of.
"""

from __future__ import annotations

from collections.abc import Mapping

from vdb.policy.words import Action

_SQL = (Action.QUERY, Action.APPEND, Action.SCHEMA, Action.TIME_TRAVEL)

UNGUARDED = ("authenticate",)
"""Methods for those who haven't shown yet who they are."""

DOORS: Mapping[str, tuple[Action, ...]] = {
    "openSession": (),
    "createStream": (Action.CREATE,),
    "publish": (Action.APPEND,),
    "append": (Action.APPEND,),
    "read": (Action.READ,),
    "readLog": (Action.READ,),
    "listStreams": (Action.READ, Action.APPEND),
    "getStream": (Action.READ, *_SQL),
    "status": (),
    "rows": (Action.QUERY,),
    "waitForProjection": (Action.QUERY,),
    "addMember": (Action.OPERATE,),
    "promoteMember": (Action.OPERATE,),
    "removeMember": (Action.OPERATE,),
    "recoverMember": (Action.OPERATE,),
    "abdicate": (Action.OPERATE,),
    "sqlCreate": (Action.CREATE,),
    "sqlList": _SQL,
    "sqlOpen": _SQL,
    "sqlExecute": _SQL,
    "sqlExecuteMany": _SQL,
    "sqlBatch": _SQL,
    "sqlFetch": _SQL,
    "sqlCloseCursor": (),
    "sqlCommit": _SQL,
    "sqlRollback": (),
    "sqlClose": (),
    "sqlOutcome": _SQL,
    "sqlMigrate": (Action.SCHEMA,),
    "sqlHistory": (Action.TIME_TRAVEL,),
    "sqlExplain": _SQL,
    "sqlDiff": (Action.TIME_TRAVEL,),
    "sqlRestore": (Action.TIME_TRAVEL,),
    "readEvents": (Action.READ,),
    "consumerCreate": (Action.CREATE,),
    "consumerFetch": (Action.CONSUME,),
    "consumerSettle": (Action.CONSUME,),
    "consumerLeave": (Action.CONSUME,),
    "consumerList": (Action.CONSUME,),
    "consumerDelete": (Action.CREATE,),
    "deadLetters": (Action.CONSUME,),
    "deadLettersSettle": (Action.CONSUME,),
    "rebuildProjection": (Action.OPERATE,),
    "switchProjection": (Action.OPERATE,),
    "diffProjection": (Action.QUERY,),
    "parkedEvents": (Action.READ,),
    "settleParked": (Action.OPERATE,),
    "treeHead": (Action.AUDIT, Action.READ, Action.STATUS),
    "proveRecord": (Action.AUDIT, Action.READ),
    "proveConsistency": (Action.AUDIT, Action.READ, Action.STATUS),
    "leaves": (Action.AUDIT,),
    "authenticate": (),
    "speakFor": (),
    "listSessions": (Action.OPERATE, Action.AUDIT),
    "endSession": (Action.OPERATE,),
    "auditEntries": (Action.AUDIT,),
    "applyPolicy": (Action.POLICY,),
    "getPolicy": (),
    "breakGlass": (),
    "reviewGrant": (),
    "listGrants": (Action.AUDIT,),
    "putConsent": (Action.POLICY,),
    "listConsents": (Action.POLICY, Action.AUDIT),
    "rotateKeys": (Action.KEYS,),
    "keyStatus": (Action.KEYS, Action.STATUS),
    "eraseSubject": (Action.ERASE,),
    "listErasures": (Action.ERASE, Action.AUDIT),
    "putHold": (Action.ERASE,),
    "releaseHold": (Action.ERASE,),
    "listHolds": (Action.ERASE, Action.AUDIT),
    "putRetention": (Action.ERASE,),
    "listRetention": (Action.ERASE, Action.AUDIT),
    "prune": (Action.ERASE,),
    "attest": (Action.POLICY,),
    "regions": (),
    "recordAudit": (Action.AUDIT, Action.EXPORT),
}

@0xb3d0f5a1c6e84729;
# What nodes of a cluster say to each other: one PeerFrame a message, on streams that carry nothing else.
#
# Checksums are SHA-256. A header is the 256 bytes that the log keeps, and several follow each other without gaps.
# Groups of the union share their place: a frame is five words of data and three pointers, whatever it says.

struct PeerFrame {
  group @0 :Data;             # SHA-256 that names the group in headers; empty in the last five, which are the link's
  replica @1 :UInt8;          # the sender's number
  union {
    nothing @2 :Void;

    prepare @3 :Data;         # header, then body
    prepareOk :group {
      view @4 :UInt32;
      op @5 :UInt64;
      checksum @6 :Data;
    }
    commit :group {
      view @7 :UInt32;
      commit @8 :UInt64;
      head @9 :UInt64;
      checkpointOp @10 :UInt64;
      round @11 :UInt64;
      checksum @12 :Data;
    }
    commitOk :group {
      view @13 :UInt32;
      round @14 :UInt64;
      commit @15 :UInt64;
      checkpointOp @16 :UInt64;
    }
    ping :group {
      view @17 :UInt32;
      commit @18 :UInt64;
      checkpointOp @19 :UInt64;
    }
    startViewChange :group {
      view @20 :UInt32;
      configuration @57 :Data; # the latest in the sender's log, as headers hold it
    }
    doViewChange :group {
      view @21 :UInt32;
      logView @22 :UInt32;
      commit @23 :UInt64;
      checkpointOp @24 :UInt64;
      to @25 :UInt8;
      unsure @58 :Bool;
      tail @26 :Data;         # count u16; for each: op u64, bits u8 (1 present, 2 nack, 4 header), header or nothing
    }
    startView :group {
      view @27 :UInt32;
      commit @28 :UInt64;
      checkpointOp @29 :UInt64;
      nonce @30 :UInt64;
      checkpointId @31 :Data;
      tail @32 :Data;         # headers
    }
    requestStartView :group {
      view @33 :UInt32;
      nonce @34 :UInt64;
    }
    requestHeaders :group {
      first @35 :UInt64;
      last @36 :UInt64;
    }
    headers @37 :Data;
    requestPrepare :group {
      op @38 :UInt64;
      checksum @39 :Data;
    }
    notMember :group {
      epoch @40 :UInt64;
    }

    # State sync and repair at rest

    requestManifest :group {
      checkpointOp @41 :UInt64;
    }
    manifest :group {
      checkpointOp @42 :UInt64;
      content @43 :Manifest;
    }
    requestChunk :group {
      checkpointOp @44 :UInt64;
      offset @45 :UInt64;
      size @46 :UInt32;
      path @47 :Text;
    }
    chunk :group {
      checkpointOp @48 :UInt64;
      offset @49 :UInt64;
      content @50 :Chunk;
    }

    # The link itself. A connection begins with a hello, which a hello or a refusal answers.

    hello @51 :Hello;
    refusal @52 :Refusal;
    probe :group {            # by who dialled: what time is it?
      sent @53 :UInt64;       # nanoseconds of the sender's own monotonic clock
    }
    echo :group {             # the answer
      sent @54 :UInt64;       # the probe's
      wall @55 :Int64;        # microseconds since 1970 UTC, when the probe was read
    }
    alive @56 :Void;          # by who was dialled: something of yours has arrived

    erased @59 :Data;         # to the primary: a member's signed word on an erasure (vdb/wire/peer_messages.py)
    policy @60 :Data;         # to the primary of a region's group: the policy that the global group goes by (likewise)
    entries @61 :Data;        # to the primary: entries of an audit log (vdb/wire/audit_messages.py)
    recorded @62 :Data;       # the answer
    rootKeys @63 :Data;       # which root keys have you? and the answer (vdb/wire/peer_messages.py)
  }

  enum Refusal {
    version @0;
    cluster @1;
    node @2;
    name @3;
    unknown @4;
    disk @5;
    region @6;
    revoked @7;
  }

  struct Hello {
    version @0 :UInt16;
    to @1 :UInt8;             # the number of the node that is meant
    cluster @2 :Data;         # 16 bytes
    disk @3 :Data;            # 16 bytes, drawn when the data directory was made
    region @4 :Text;          # the sender's; empty: it knows of one region alone
  }

  struct Manifest {
    checkpointId @0 :Data;
    configuration @1 :Data;   # as headers hold it
    files @2 :List(FileEntry);
    view @3 :UInt32;          # the sender's, durable
  }

  struct FileEntry {
    path @0 :Text;
    size @1 :UInt64;
    checksum @2 :Data;
  }

  struct Chunk {
    path @0 :Text;
    data @1 :Data;
    checksum @2 :Data;
  }
}

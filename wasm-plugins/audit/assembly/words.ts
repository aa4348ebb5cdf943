/** The words of SQL that the plugin knows, found by exact comparison in a small hash table. */

/** Words by position in WORDS; those up to STATEMENTS begin statements. */
export const enum Word {
  None,
  Select, Insert, Update, Delete, Merge, Values, Table, Explain, Prepare, Execute, Deallocate,
  Declare, Fetch, Move, Close, Copy, Create, Alter, Drop, Truncate, Grant, Revoke, Comment,
  Analyze, Vacuum, Cluster, Reindex, Refresh, Lock, Begin, Start, Commit, End, Rollback, Abort,
  Savepoint, Release, Set, Reset, Show, Listen, Notify, Unlisten, Discard, Do, Call, Checkpoint,
  Load, Security, Import, Reassign,
  Other,
  With, Recursive, As, Not, Materialized, From, Join, Into, Using, On, Is, Distinct, Only, Lateral,
  Rows, Temp, Temporary, Unlogged, Local, Global, If, Exists, Concurrently, Where, Group, Having,
  Order, Limit, Offset, For, Union, Intersect, Except, Window, Returning, When, View, Index,
  Trigger, Policy, Rule, References, Verbose, Full, Freeze, Atomic, Case, All, Schema, Function,
  Procedure, Routine, Sequence, Database, Language, Type, Domain, Foreign, Also, Instead,
  To, Tablespace, Large, Parameter,
  Count,
}

const WORDS =
  'select insert update delete merge values table explain prepare execute deallocate ' +
  'declare fetch move close copy create alter drop truncate grant revoke comment ' +
  'analyze vacuum cluster reindex refresh lock begin start commit end rollback abort ' +
  'savepoint release set reset show listen notify unlisten discard do call checkpoint ' +
  'load security import reassign ' +
  'other ' +
  'with recursive as not materialized from join into using on is distinct only lateral ' +
  'rows temp temporary unlogged local global if exists concurrently where group having ' +
  'order limit offset for union intersect except window returning when view index ' +
  'trigger policy rule references verbose full freeze atomic case all schema function ' +
  'procedure routine sequence database language type domain foreign also instead ' +
  'to tablespace large parameter '

const SLOTS = 1024
const LETTERS_MAX = 16

/** The word at each slot of its hash or behind; 0: none. */
const slots = memory.data(SLOTS)
/** 16 bytes a word, upper case, as kinds are told. */
const letters = memory.data(i32(Word.Count) * LETTERS_MAX)
const lengths = memory.data(i32(Word.Count))

// @ts-ignore: decorator
@inline
export function lower(byte: u8): u8 {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
}

// @ts-ignore: decorator
@inline
function mixed(hash: u32, byte: u8): u32 {
  return (hash ^ byte) * 0x0100_0193
}

function fill(): void {
  let word = 1
  let length = 0
  let hash: u32 = 0x811c_9dc5
  for (let at = 0; at < WORDS.length; at++) {
    const byte = <u8>WORDS.charCodeAt(at)
    if (byte != 0x20) {
      store<u8>(letters + word * LETTERS_MAX + length++, byte & 0xdf)
      hash = mixed(hash, byte)
      continue
    }
    let slot = hash % SLOTS
    while (load<u8>(slots + slot) != 0) slot = (slot + 1) % SLOTS
    store<u8>(slots + slot, <u8>word)
    store<u8>(lengths + word, <u8>length)
    word++
    length = 0
    hash = 0x811c_9dc5
  }
  assert(word == Word.Count)
}
fill()

/** The word that these bytes spell in any case, or None. */
export function wordAt(ptr: usize, length: i32): Word {
  if (length > LETTERS_MAX) return Word.None
  let hash: u32 = 0x811c_9dc5
  for (let at = 0; at < length; at++) hash = mixed(hash, lower(load<u8>(ptr + at)))
  let slot = hash % SLOTS
  let word = load<u8>(slots + slot)
  while (word != 0) {
    if (load<u8>(lengths + word) == length && spells(word, ptr, length)) return <Word>word
    slot = (slot + 1) % SLOTS
    word = load<u8>(slots + slot)
  }
  return Word.None
}

function spells(word: i32, ptr: usize, length: i32): bool {
  const spelled = letters + word * LETTERS_MAX
  for (let at = 0; at < length; at++) {
    const byte = load<u8>(ptr + at)
    if ((lower(byte) ^ 0x20) != load<u8>(spelled + at)) return false
  }
  return true
}

/** A word in upper case: its place and its length. */
export function lettersOf(word: Word): usize {
  return letters + word * LETTERS_MAX
}

export function lengthOf(word: Word): i32 {
  return load<u8>(lengths + word)
}

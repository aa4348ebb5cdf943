/** The words of SQL that the SDK knows, found by exact comparison in a small hash table. */
import { lower, Slice, slice } from '../slice'
import { hashedWith, WORD_SEED } from './characters'

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
  To, Tablespace, Large, Parameter, Uescape, Transaction, Session, Program, Stdin, Stdout, True,
  False, Null, Default, Authorization, Role, Zone, Time, In, And, Or, Any, Some, Array, Between,
  Like, Ilike, Similar, Over, Filter, Within, By, Then, Else, Row, Primary, Key, Unique, Check,
  Asc, Desc, Cross, Inner, Outer, Natural, Conflict, Prepared, Cursor, Percent, Characteristics,
  Binary, Analyse,
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
  'to tablespace large parameter uescape transaction session program stdin stdout true ' +
  'false null default authorization role zone time in and or any some array between ' +
  'like ilike similar over filter within by then else row primary key unique check ' +
  'asc desc cross inner outer natural conflict prepared cursor percent characteristics ' +
  'binary analyse '

const SLOTS = 1024
const LETTERS_MAX = 16

/** The word at each slot of its hash or behind; 0: none. */
const slots = memory.data(SLOTS)
/** 16 bytes a word, upper case, as kinds are told. */
const letters = memory.data(i32(Word.Count) * LETTERS_MAX)
const lengths = memory.data(i32(Word.Count))

function fill(): void {
  let word = 1
  let length = 0
  let hash = WORD_SEED
  for (let at = 0; at < WORDS.length; at++) {
    const byte = <u8>WORDS.charCodeAt(at)
    if (byte != 0x20) {
      store<u8>(letters + word * LETTERS_MAX + length++, byte & 0xdf)
      hash = hashedWith(hash, byte)
      continue
    }
    let slot = hash % SLOTS
    while (load<u8>(slots + slot) != 0) slot = (slot + 1) % SLOTS
    store<u8>(slots + slot, <u8>word)
    store<u8>(lengths + word, <u8>length)
    word++
    length = 0
    hash = WORD_SEED
  }
  assert(word == Word.Count)
}
fill()

/** The word that these bytes spell in any case, or None. */
export function wordAt(ptr: usize, length: i32): Word {
  let hash = WORD_SEED
  for (let at = 0; at < min(length, LETTERS_MAX); at++) hash = hashedWith(hash, load<u8>(ptr + at))
  return wordOf(ptr, length, hash)
}

/** The same where the hash of all the bytes is known. */
export function wordOf(ptr: usize, length: i32, hash: u32): Word {
  if (length > LETTERS_MAX) return Word.None
  let slot = hash % SLOTS
  let word = load<u8>(slots + slot)
  while (word != 0) {
    if (load<u8>(lengths + word) == length && spells(word, ptr, length)) {
      // PostgreSQL has two spellings of this one.
      return word == Word.Analyse ? Word.Analyze : <Word>word
    }
    slot = (slot + 1) % SLOTS
    word = load<u8>(slots + slot)
  }
  return Word.None
}

function spells(word: i32, ptr: usize, length: i32): bool {
  const upper = letters + word * LETTERS_MAX
  for (let at = 0; at < length; at++) {
    const byte = load<u8>(ptr + at)
    if ((lower(byte) ^ 0x20) != load<u8>(upper + at)) return false
  }
  return true
}

/** A word in upper case, as kinds are told; good for ever. */
export function spelled(word: Word): Slice {
  return slice(letters + word * LETTERS_MAX, load<u8>(lengths + word))
}

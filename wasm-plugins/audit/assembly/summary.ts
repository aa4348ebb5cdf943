/**
 * What is told of a statement, whoever runs it and how it ends: kept once for all that are equal,
 * as the fields of a JSON object, with its kind before. Never a value: no string, no number, no
 * parameter.
 */
import { Blobs, NOTHING } from '../../shared/assembly/blobs'
import { normalise } from '../../sdk/assembly/sql/normal'
import { spelled, Word } from '../../sdk/assembly/sql/words'
import {
  Bytes,
  hashOf,
  Json,
  lengthOf,
  NONE,
  part,
  ptrOf,
  Slice,
  Statements,
} from '../../sdk/assembly/sdk'
import { Options } from './options'

const SUMMARIES_BYTES_MAX: i32 = 16_777_216
const KIND_BYTES: i32 = 4

const summaries = new Blobs(SUMMARIES_BYTES_MAX)
const form = new Bytes()
const print = new Bytes()
const json = new Json()
const summary = new Bytes()

/** Stands for a text without a statement, of which nothing is told. */
export const EMPTY: i32 = 0

/** True for a number whose summary is still kept. */
export function isKnown(id: i32): bool {
  return summaries.at(id) != NONE
}

@final
export class Summary {
  /** How often all summaries were forgotten. */
  get forgotten(): i32 {
    return summaries.forgotten
  }

  /** Appends what is told of the statement that `statements` has come to, but for its text. */
  head(statements: Statements, into: Bytes): void {
    json.clear().key('kind').string(statements.kindName)
    json.key('tables').array()
    for (let at = 0; at < statements.tables; at++) json.string(statements.table(at))
    json.endArray()
    if (statements.hasMoreTables) json.key('more').boolean(true)
    writeWithin(statements)
    into.add(json.slice)
  }

  /** The number of the summary of a statement, of whose text `sql` has been read. */
  of(kind: i32, head: Slice, sql: Slice, isUnread: bool, isStandard: bool): i32 {
    json.clear()
    form.clear()
    if (lengthOf(sql) > 0) writeForm(sql, isStandard)
    if (isUnread || form.isCut) json.key('unread').boolean(true)
    summary.clear().int32(<i32>bswap<u32>(kind)).add(head)
    if (lengthOf(json.slice) > 0) summary.byte(0x2c).add(json.slice)
    return summary.isCut ? NOTHING : summaries.intern(summary.slice)
  }
}

function writeWithin(statements: Statements): void {
  let isFirst = true
  for (let word = <i32>Word.Insert; word <= Word.Merge; word++) {
    if (word == statements.kind || !statements.isWithin(<Word>word)) continue
    if (isFirst) json.key('within').array()
    isFirst = false
    json.string(spelled(<Word>word))
  }
  if (!isFirst) json.endArray()
}

function writeForm(sql: Slice, isStandard: bool): void {
  normalise(sql, form, isStandard)
  print.clear().hex64(hashOf(form.slice))
  const most = Options.statementBytesMax
  const shown = characters(form.slice, most)
  if (most > 0) json.key('statement').string(shown)
  if (most > 0 && lengthOf(shown) < form.length) json.key('statementBytes').integer(form.length)
  json.key('fingerprint').string(print.slice)
}

/** The first bytes of a text, and no part of a character at their end. */
export function characters(text: Slice, bytesMax: i32): Slice {
  if (lengthOf(text) <= bytesMax) return text
  let length = bytesMax
  while (length > 0 && (load<u8>(ptrOf(text) + length) & 0xc0) == 0x80) length--
  return part(text, 0, length)
}

/** The verb of a statement by its summary's number; OTHER where that is forgotten. */
export function kindOf(id: i32): Slice {
  const found = summaries.at(id)
  return spelled(found == NONE ? Word.Other : <Word>load<i32>(ptrOf(found)))
}

/** The fields, without the braces around them. */
export function fieldsOf(id: i32): Slice {
  const found = summaries.at(id)
  if (found != NONE) return part(found, KIND_BYTES)
  return json.clear().key('kind').string(spelled(Word.Other)).key('tables').array().endArray().slice
}

/**
 * What is to be done with the columns of a result: a plan, made of its RowDescription. Equal plans
 * are kept once, whoever asks for them, and known by a number.
 */
import { Blobs, NOTHING } from '../../shared/assembly/blobs'
import { keyed } from '../../shared/assembly/secret'
import { Table } from '../../shared/assembly/table'
import { Bind, Bytes, ptrOf, RowDescription, Slice } from '../../sdk/assembly/sdk'
import { ruleNaming, valuesOf } from './rules'
import { Class, classOf } from './types'

/** No plan: what the columns are is not known. */
export const UNKNOWN: i32 = NOTHING

/** What a plan begins with: how many columns it has, and behind which nothing is to be done. */
export const PLAN_HEAD_BYTES: i32 = 8
/** Of each column: what is done (u8), how (u8), class (u8), format (u8), type (u32). */
export const COLUMN_BYTES: i32 = 8

export const enum Deed {
  Pass,
  /** By its name. `how` is the rule. */
  Mask,
  /** Its text is searched. `how` is what for. */
  Search,
}

const PLANS_BYTES_MAX: i32 = 8_388_608
export const plans = new Blobs(PLANS_BYTES_MAX)

/** Plans by rules and RowDescription. */
const known = new Table(8192, 8)
const form = new Bytes()

/** The place of a plan, or 0 where its number means nothing (any more). */
export function planAt(id: i32): usize {
  return ptrOf(plans.at(id))
}

export function columnsOf(plan: usize): i32 {
  return load<i32>(plan)
}

/** Columns from this one on pass. */
export function lastOf(plan: usize): i32 {
  return load<i32>(plan, 4)
}

/** The plan for a result under some rules; `columns` has read `message`. */
export function planFor(columns: RowDescription, message: Slice, rules: u32): i32 {
  const key = keyed(0x1_0000_0000 | <u64>rules, message)
  const found = known.find(key)
  if (found != 0 && planAt(load<i32>(found)) != 0) return load<i32>(found)
  const values = valuesOf(rules)
  form.clear()
  if (!form.reserve(PLAN_HEAD_BYTES + columns.columns * COLUMN_BYTES)) return UNKNOWN
  form.length = PLAN_HEAD_BYTES
  let last = 0
  for (let at = 1; columns.next(); at++) {
    const kind = classOf(columns.type, columns.typeSize)
    const rule = ruleNaming(columns.name, rules)
    let deed = Deed.Pass
    let how = 0
    if (rule >= 0) {
      deed = Deed.Mask
      how = rule
    } else if (values != 0 && isSearched(kind, columns.format)) {
      deed = Deed.Search
      how = values
    }
    if (deed != Deed.Pass) last = at
    form.byte(<u8>deed).byte(<u8>how).byte(<u8>kind).byte(<u8>columns.format)
    form.int32(<i32>bswap<u32>(columns.type))
  }
  store<i32>(form.ptr, columns.columns)
  store<i32>(form.ptr, last, 4)
  const id = plans.intern(form.slice)
  const place = id == UNKNOWN ? 0 : known.put(key)
  if (place != 0) store<i32>(place, id)
  return id
}

/** True for what may be text in this format, so that nothing else is taken for it. */
function isSearched(kind: Class, format: i32): bool {
  switch (kind) {
    case Class.Text:
    case Class.Json:
    case Class.Jsonb:
      return true
    case Class.TextArray:
    case Class.User:
      return format == 0
    default:
      return false
  }
}

/** All columns in text, and all in binary. */
export const ALL_TEXT: i32 = -2
export const ALL_BINARY: i32 = -3
/** Tells a list of formats from a plan. */
const FORMATS_MARK: i32 = -1

/** The number of the formats that a Bind asks for. */
export function formatsOf(bind: Bind): i32 {
  const count = bind.resultFormats
  if (count == 0) return ALL_TEXT
  if (count == 1) return bind.resultFormat(0) == 0 ? ALL_TEXT : ALL_BINARY
  form.clear().int32(FORMATS_MARK).int32(<i32>bswap<u32>(count))
  for (let at = 0; at < count; at++) form.byte(<u8>bind.resultFormat(at))
  return form.isCut ? UNKNOWN : plans.intern(form.slice)
}

/** A statement's plan with the formats of a Bind: UNKNOWN where they do not fit. */
export function withFormats(id: i32, formats: i32): i32 {
  const plan = planAt(id)
  if (plan == 0 || formats == UNKNOWN) return UNKNOWN
  const columns = columnsOf(plan)
  const list = formats < UNKNOWN ? 0 : planAt(formats)
  if (formats >= 0 && (list == 0 || load<i32>(list, 4) != columns)) return UNKNOWN
  form.clear().raw(plan, PLAN_HEAD_BYTES + columns * COLUMN_BYTES)
  if (form.isCut) return UNKNOWN
  let column = form.ptr + PLAN_HEAD_BYTES
  for (let at = 0; at < columns; at++) {
    const format = list == 0 ? <u8>(formats == ALL_BINARY) : load<u8>(list + 8 + at)
    const isLost = load<u8>(column) == Deed.Search && !isSearched(load<u8>(column, 2), format)
    if (isLost) store<u8>(column, Deed.Pass)
    store<u8>(column, format, 3)
    column += COLUMN_BYTES
  }
  return plans.intern(form.slice)
}

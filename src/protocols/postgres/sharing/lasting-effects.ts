/**
 * What statements leave behind in their session, told from their text: what the next transaction
 * of the same client counts on, and no other client may find. What a function does within cannot
 * be seen here: one that locks, or sets a parameter, is taken for one that does not.
 */
import { isSuspicious } from './suspicion.ts'
import { type Token, tokensOf } from './tokens.ts'

/**
 * - `listen`: notifications are awaited
 * - `lock`: an advisory lock of the session
 * - `temporary`: a temporary table, view or sequence
 * - `cursor`: a cursor WITH HOLD
 * - `prepare`: a statement prepared, or used, by SQL
 * - `load`: a library
 * - `setting`: a parameter that the server does not report, or a role
 * - `unread`: a statement that is too long to be looked at
 */
export const PIN_REASONS = [
  'listen',
  'lock',
  'temporary',
  'cursor',
  'prepare',
  'load',
  'setting',
  'unread',
] as const

export type PinReason = (typeof PIN_REASONS)[number]

/** What is known of the session that the statements are for. */
export interface Reading {
  /** True for a parameter whose changes the server reports, by its name in lower case. */
  reports(name: string): boolean
  /** A backslash in any text is an escape: standard_conforming_strings is off. */
  readonly escapes: boolean
  /** The client has parameters that are not reported, which RESET would take away. */
  readonly hasUnreported: boolean
}

/** Why the session needs its connection for itself after these statements; null: it does not. */
export function lastingEffect(
  bytes: Uint8Array,
  from: number,
  to: number,
  reading: Reading,
): PinReason | null {
  if (!isSuspicious(bytes, from, to)) return null
  const sql = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1')
  return effectOf(tokensOf(sql, reading.escapes), reading)
}

/** The statement that DEALLOCATE names, where that is all that the text says; else null. */
export function deallocated(sql: string): string | null {
  const tokens = tokensOf(sql, false)
  if (!isWord(tokens[0], 'deallocate')) return null
  const at = isWord(tokens[1], 'prepare') ? 2 : 1
  const name = tokens[at]
  const rest = tokens.slice(at + 1)
  if (name === undefined || isWord(name, 'all') || !isName(name)) return null
  return rest.every((token) => isSign(token, ';')) ? name.value : null
}

function effectOf(tokens: readonly Token[], reading: Reading): PinReason | null {
  for (const statement of statementsOf(tokens)) {
    const effect = statementEffect(statement, reading)
    if (effect !== null) return effect
  }
  return null
}

function statementsOf(tokens: readonly Token[]): Token[][] {
  const statements: Token[][] = [[]]
  for (const token of tokens) {
    if (isSign(token, ';')) statements.push([])
    else statements.at(-1)!.push(token)
  }
  return statements.filter((statement) => statement.length > 0)
}

function isWord(token: Token | undefined, ...words: readonly string[]): boolean {
  return token !== undefined && token.kind === 'word' && words.includes(token.value)
}

function isSign(token: Token | undefined, sign: string): boolean {
  return token !== undefined && token.kind === 'sign' && token.value === sign
}

function isName(token: Token | undefined): boolean {
  return token !== undefined && (token.kind === 'word' || token.kind === 'name')
}

/** What may stand between CREATE and the word that says that something is temporary. */
const BEFORE_TEMPORARY = ['or', 'replace', 'global', 'local'] as const

function statementEffect(tokens: readonly Token[], reading: Reading): PinReason | null {
  switch (tokens[0]!.kind === 'word' ? tokens[0]!.value : '') {
    case 'listen':
      return 'listen'
    case 'load':
      return 'load'
    case 'prepare':
      return isWord(tokens[1], 'transaction') ? null : 'prepare'
    case 'execute':
      return 'prepare'
    case 'deallocate':
      return isWord(tokens.at(-1), 'all') ? null : 'prepare'
    case 'declare':
      if (holds(tokens)) return 'cursor'
      break
    case 'set':
      return settingEffect(tokens.slice(1), reading)
    case 'reset':
      return resetEffect(tokens.slice(1), reading)
    case 'do':
      return blockEffect(tokens, reading)
    case 'create':
      if (makesTemporary(tokens)) return 'temporary'
  }
  return innerEffect(tokens, reading)
}

function makesTemporary(tokens: readonly Token[]): boolean {
  const kind = tokens.find((token, at) => at > 0 && !isWord(token, ...BEFORE_TEMPORARY))
  return isWord(kind, 'temp', 'temporary')
}

/** DECLARE … WITH HOLD FOR …, of which only the words before FOR count. */
function holds(tokens: readonly Token[]): boolean {
  const end = tokens.findIndex((token) => isWord(token, 'for'))
  return tokens.some(
    (token, at) => (end < 0 || at < end) && isWord(token, 'hold') && isWord(tokens[at - 1], 'with'),
  )
}

/** What may stand anywhere in a statement. */
function innerEffect(tokens: readonly Token[], reading: Reading): PinReason | null {
  for (const [at, token] of tokens.entries()) {
    if (isWord(token, 'temp', 'temporary') && isInto(tokens, at)) return 'temporary'
    if (isWord(token, 'execute') && isExplained(tokens, at)) return 'prepare'
    if (!isName(token)) continue
    if (token.value === 'pg_temp' && isWord(tokens[0], 'create', 'select', 'with', 'alter')) {
      return 'temporary'
    }
    const isCall = isSign(tokens[at + 1], '(')
    if (isCall && /^pg_(?:try_)?advisory_lock(?:_shared)?$/.test(token.value)) return 'lock'
    if (isCall && token.value === 'set_config' && changes(tokens.slice(at + 2), reading)) {
      return 'setting'
    }
  }
  return null
}

/** SELECT … INTO [LOCAL | GLOBAL] TEMP … */
function isInto(tokens: readonly Token[], at: number): boolean {
  const before = isWord(tokens[at - 1], 'local', 'global') ? at - 2 : at - 1
  return isWord(tokens[before], 'into')
}

/** EXPLAIN … EXECUTE, and CREATE TABLE … AS EXECUTE; not GRANT EXECUTE and its like. */
function isExplained(tokens: readonly Token[], at: number): boolean {
  return isWord(tokens[0], 'explain') || isWord(tokens[at - 1], 'as')
}

/** The arguments of set_config(name, value, is_local): true where it is not of a transaction. */
function changes(tokens: readonly Token[], reading: Reading): boolean {
  const parts: Token[][] = [[]]
  let depth = 0
  for (const token of tokens) {
    if (isSign(token, '(')) depth += 1
    else if (isSign(token, ')')) depth -= 1
    if (depth < 0) break
    if (depth === 0 && isSign(token, ',')) parts.push([])
    else parts.at(-1)!.push(token)
  }
  const [name = [], , local = []] = parts
  if (local.length === 1 && isTrue(local[0]!)) return false
  const isKnown = name.length === 1 && name[0]!.kind === 'text'
  return !(isKnown && reading.reports(name[0]!.value.toLowerCase()))
}

function isTrue({ kind, value }: Token): boolean {
  if (kind === 'word') return value === 'true'
  return kind === 'text' && ['t', 'true', 'on', '1', 'yes'].includes(value.toLowerCase())
}

/** What SET sets, under another name than that of a parameter. */
const SPECIAL: ReadonlyMap<string, string> = new Map([
  ['names', 'client_encoding'],
  ['schema', 'search_path'],
  ['time', 'timezone'],
])

/** Behind SET: a parameter that is reported may be changed, and what ends with a transaction. */
function settingEffect(tokens: readonly Token[], reading: Reading): PinReason | null {
  const [first, second] = tokens
  if (isWord(first, 'local', 'transaction', 'constraints')) return null
  if (isWord(first, 'session')) {
    // SET SESSION AUTHORIZATION, and SET SESSION CHARACTERISTICS AS TRANSACTION.
    if (isWord(second, 'authorization', 'characteristics')) return 'setting'
    return settingEffect(tokens.slice(1), reading)
  }
  if (!isName(first)) return null
  const name = nameOf(tokens)
  const isShort = first!.kind === 'word' && tokens.length > 1 && !isAssigned(tokens[1])
  const special = isShort ? SPECIAL.get(name) : undefined
  return reading.reports(special ?? name) ? null : 'setting'
}

function isAssigned(token: Token | undefined): boolean {
  return isSign(token, '=') || isWord(token, 'to') || isSign(token, '.')
}

/** A name with its dots. */
function nameOf(tokens: readonly Token[]): string {
  let name = ''
  for (const token of tokens) {
    if (!(isName(token) || isSign(token, '.'))) break
    if (isName(token) && name !== '' && !name.endsWith('.')) break
    name += token.value.toLowerCase()
  }
  return name
}

/** RESET gives parameters their first values, which are those of the connection. */
function resetEffect(tokens: readonly Token[], reading: Reading): PinReason | null {
  if (isWord(tokens[0], 'all')) return reading.hasUnreported ? 'setting' : null
  if (isWord(tokens[0], 'session')) return 'setting'
  return reading.hasUnreported && !reading.reports(nameOf(tokens)) ? 'setting' : null
}

const BLOCK_WORDS = ['begin', 'then', 'else', 'loop'] as const

/** The body of a DO block is a text of statements of its own, in another language. */
function blockEffect(tokens: readonly Token[], reading: Reading): PinReason | null {
  for (const body of tokens.filter(({ kind }) => kind === 'text')) {
    const inner = tokensOf(body.value, reading.escapes).map((token) =>
      isWord(token, ...BLOCK_WORDS) ? ({ kind: 'sign', value: ';' } as const) : token,
    )
    for (const statement of statementsOf(inner)) {
      // EXECUTE runs a text there, which is one more that cannot be seen when it is put together.
      if (isWord(statement[0], 'execute')) {
        if (statement.some(({ kind, value }) => kind === 'text' && hides(value, reading))) {
          return 'unread'
        }
        continue
      }
      const effect = statementEffect(statement, reading)
      if (effect !== null) return effect
    }
  }
  return null
}

function hides(sql: string, reading: Reading): boolean {
  return effectOf(tokensOf(sql, reading.escapes), reading) !== null
}

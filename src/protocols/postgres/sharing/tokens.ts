/** Cuts the text of statements into words, texts and signs, as PostgreSQL's scanner would. */

/** `word`: folded to lower case; `name`: was quoted; `text`: a literal without its quotes. */
export interface Token {
  readonly kind: 'word' | 'name' | 'text' | 'sign'
  readonly value: string
}

const SPACE = /[\s\0]/
const BEGINS_WORD = /[A-Za-z_\x80-\u{10ffff}]/u
const WORD = /[A-Za-z0-9_$\x80-\u{10ffff}]+/uy
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\x80-\u{10ffff}][A-Za-z0-9_\x80-\u{10ffff}]*)?\$/uy
/** What stands before the quote of a text: E'..', B'..', X'..', N'..' and U&'..'. */
const PREFIX = /(?:[bBxXnN]|[eE]|[uU]&)'/y

/** `escapes`: a backslash in any text is an escape, because standard_conforming_strings is off. */
export function tokensOf(sql: string, escapes: boolean): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  while (at < sql.length) {
    const begins = sql[at]!
    if (SPACE.test(begins)) at += 1
    else if (sql.startsWith('--', at)) at = endOf(sql, '\n', at)
    else if (sql.startsWith('/*', at)) at = endOfComment(sql, at)
    else at = takeToken(sql, at, escapes, tokens)
  }
  return tokens
}

function takeToken(sql: string, at: number, escapes: boolean, tokens: Token[]): number {
  const prefix = match(PREFIX, sql, at)
  if (prefix !== '' || sql[at] === "'") {
    const escaped = escapes || prefix.startsWith('e') || prefix.startsWith('E')
    return takeQuoted(sql, at + Math.max(0, prefix.length - 1), { kind: 'text', escaped }, tokens)
  }
  if (sql[at] === '"') return takeQuoted(sql, at, { kind: 'name', escaped: false }, tokens)
  const dollars = match(DOLLAR_QUOTE, sql, at)
  if (dollars !== '') {
    const from = at + dollars.length
    const end = sql.indexOf(dollars, from)
    tokens.push({ kind: 'text', value: sql.slice(from, end < 0 ? sql.length : end) })
    return end < 0 ? sql.length : end + dollars.length
  }
  if (BEGINS_WORD.test(sql[at]!)) {
    const word = match(WORD, sql, at)
    if (word !== '') {
      tokens.push({ kind: 'word', value: word.toLowerCase() })
      return at + word.length
    }
  }
  tokens.push({ kind: 'sign', value: sql[at]! })
  return at + 1
}

interface Quoting {
  readonly kind: 'text' | 'name'
  readonly escaped: boolean
}

/** A quote that is doubled stands for itself; one that is never closed goes on to the end. */
function takeQuoted(sql: string, at: number, { kind, escaped }: Quoting, tokens: Token[]): number {
  const quote = sql[at]!
  let value = ''
  let next = at + 1
  for (;;) {
    const character = sql[next]
    if (character === undefined) break
    if (character === '\\' && escaped) {
      value += sql[next + 1] ?? ''
      next += 2
    } else if (character !== quote) {
      value += character
      next += 1
    } else if (sql[next + 1] === quote) {
      value += quote
      next += 2
    } else break
  }
  tokens.push({ kind, value })
  return next + 1
}

function match(pattern: RegExp, sql: string, at: number): string {
  pattern.lastIndex = at
  return pattern.exec(sql)?.[0] ?? ''
}

function endOf(sql: string, ending: string, from: number): number {
  const end = sql.indexOf(ending, from)
  return end < 0 ? sql.length : end + ending.length
}

/** Comments of this kind may stand within each other. */
function endOfComment(sql: string, from: number): number {
  let depth = 0
  let at = from
  while (at < sql.length) {
    if (sql.startsWith('/*', at)) depth += 1
    else if (sql.startsWith('*/', at)) depth -= 1
    else {
      at += 1
      continue
    }
    at += 2
    if (depth === 0) return at
  }
  return at
}

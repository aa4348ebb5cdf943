/**
 * Reads a plugin's page in Prometheus' text format 0.0.4. It is strict, as Prometheus' own parser
 * is: a page that it would refuse must not reach ours. It is bounded: a plugin wrote the page.
 */
import { setImmediate } from 'node:timers/promises'
import { claimedNames, type Family, type FamilyType, isFamilyType } from './family.ts'

/** Lines of samples, and families, that one page may have. */
export const PAGE_SERIES_MAX = 10_000
const LABELS_MAX = 64
const LINE_LENGTH_MAX = 16 * 1024

/** Lines that are read before other work has its turn: about a millisecond. */
const LINES_IN_TURN = 256

export interface ParsedSample {
  readonly name: string
  /** Names and values, the values without their escapes, in the order of the page. */
  readonly labels: readonly (readonly [name: string, value: string])[]
  /** Value and timestamp as they stand on the page; the timestamp is "" where there is none. */
  readonly value: string
  readonly timestamp: string
}

export interface PageRules {
  /** Writes the line that stands for a sample in the family. */
  readonly write: (sample: ParsedSample) => string
  readonly seriesMax?: number
}

/** Why a page is refused; `line` counts from 1. */
export class PageError extends Error {
  readonly line: number

  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`)
    this.name = 'PageError'
    this.line = line
  }
}

/** The families of a page in their order. Throws a PageError for a page that is not valid. */
export function parsePage(text: string, rules: PageRules): readonly Family[] {
  const turns = readInTurns(text, rules)
  while (true) {
    const turn = turns.next()
    if (turn.done) return turn.value
  }
}

/** The same, but a large page lets traffic pass in between. Rejects with a PageError. */
export async function parsePageInTurns(text: string, rules: PageRules): Promise<readonly Family[]> {
  const turns = readInTurns(text, rules)
  while (true) {
    const turn = turns.next()
    if (turn.done) return turn.value
    await setImmediate()
  }
}

function* readInTurns(text: string, rules: PageRules): Generator<void, readonly Family[]> {
  const page = new PageReader(rules)
  let start = 0
  for (let line = 1; start < text.length; line++) {
    const end = text.indexOf('\n', start)
    if (end === -1) page.fail('the page ends in the middle of a line; it was cut off')
    page.read(text.slice(start, end))
    start = end + 1
    if (line % LINES_IN_TURN === 0) yield
  }
  return page.families()
}

interface OpenFamily {
  readonly name: string
  type: FamilyType
  help: string
  typed: boolean
  helped: boolean
  readonly lines: string[]
}

const NAME = /[a-zA-Z_:][a-zA-Z0-9_:]*/y
const LABEL = /[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\[\\"n])*)"[ \t]*(,?)/y
const CLOSE = /[ \t]*\}/y
const VALUE = /[ \t]*([^ \t]+)(?:[ \t]+(-?\d{1,19}))?[ \t]*$/y
const NUMBER = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan)$/i
const COMMENT = /^#[ \t]+(HELP|TYPE)[ \t]+([^ \t]+)(?:[ \t]+(.*))?$/s
const HELP_TEXT = /^(?:[^\\]|\\[\\n])*$/

class PageReader {
  readonly #write: PageRules['write']
  readonly #seriesMax: number
  readonly #families = new Map<string, OpenFamily>()
  /** Whose every name of a sample is, so that two families never share one. */
  readonly #claims = new Map<string, OpenFamily>()
  readonly #seen = new Set<string>()
  #line = 0

  constructor(rules: PageRules) {
    this.#write = rules.write
    this.#seriesMax = rules.seriesMax ?? PAGE_SERIES_MAX
  }

  fail(message: string): never {
    throw new PageError(this.#line + 1, message)
  }

  families(): readonly Family[] {
    return [...this.#families.values()].map(({ name, type, help, lines }) => ({
      name,
      type,
      help,
      lines,
    }))
  }

  read(line: string): void {
    if (line.length > LINE_LENGTH_MAX) this.fail(`longer than ${LINE_LENGTH_MAX} characters`)
    const text = line.replace(/^[ \t]+/, '')
    if (text.startsWith('#')) this.#readComment(text)
    else if (text !== '') this.#readSample(text)
    this.#line += 1
  }

  #readComment(text: string): void {
    const [, keyword, name = '', rest = ''] = COMMENT.exec(text) ?? []
    // Any other comment is for people.
    if (keyword === undefined) return
    NAME.lastIndex = 0
    if (!NAME.test(name) || NAME.lastIndex !== name.length) this.fail(`bad name ${shorten(name)}`)
    if (keyword === 'HELP') this.#readHelp(name, rest)
    else this.#readType(name, rest.replace(/[ \t]+$/, ''))
  }

  #readHelp(name: string, help: string): void {
    const family = this.#families.get(name) ?? this.#open(name, 'untyped')
    if (family.helped) this.fail(`a second HELP for ${name}`)
    if (!HELP_TEXT.test(help)) this.fail(`a bad escape in the HELP of ${name}`)
    family.help = help
    family.helped = true
  }

  #readType(name: string, type: string): void {
    if (!isFamilyType(type)) this.fail(`the type ${shorten(type)} of ${name} is not known`)
    const family = this.#families.get(name) ?? this.#open(name, type)
    if (family.typed) this.fail(`a second TYPE for ${name}`)
    if (family.lines.length > 0) this.fail(`the TYPE of ${name} comes after its samples`)
    family.type = type
    family.typed = true
    this.#claim(family)
  }

  #open(name: string, type: FamilyType): OpenFamily {
    if (this.#families.size >= this.#seriesMax) this.fail(`more than ${this.#seriesMax} families`)
    const family = { name, type, help: '', typed: false, helped: false, lines: [] }
    this.#claim(family)
    this.#families.set(name, family)
    return family
  }

  #claim(family: OpenFamily): void {
    for (const name of claimedNames(family.name, family.type)) {
      const owner = this.#claims.get(name)
      if (owner !== undefined && owner !== family) {
        this.fail(`${family.name} and ${owner.name} share the name ${name}`)
      }
      this.#claims.set(name, family)
    }
  }

  #readSample(text: string): void {
    NAME.lastIndex = 0
    const name = NAME.exec(text)?.[0]
    if (name === undefined) this.fail(`no metric name in ${shorten(text)}`)
    const spaces = /[ \t]*/y
    spaces.lastIndex = name.length
    spaces.exec(text)
    const open = text[spaces.lastIndex] === '{'
    const labels: (readonly [string, string])[] = []
    const after = open ? this.#readLabels(name, text, spaces.lastIndex + 1, labels) : name.length
    VALUE.lastIndex = after
    const [, value, timestamp = ''] = VALUE.exec(text) ?? []
    if (value === undefined || !NUMBER.test(value)) this.fail(`no number for ${name}`)
    if (!open && text[after] !== ' ' && text[after] !== '\t') this.fail(`bad name in ${name}…`)
    this.#add({ name, labels, value, timestamp })
  }

  /** Returns where the labels end. */
  #readLabels(name: string, text: string, from: number, labels: (readonly [string, string])[]) {
    let at = from
    let comma: string = ','
    while (true) {
      CLOSE.lastIndex = at
      if (CLOSE.test(text)) return CLOSE.lastIndex
      LABEL.lastIndex = at
      const found: readonly string[] | null = comma === ',' ? LABEL.exec(text) : null
      const [, label = '', value = ''] = found ?? []
      if (label === '') this.fail(`bad labels of ${name}`)
      if (label.startsWith('__')) this.fail(`the label ${label} of ${name} is Prometheus' own`)
      if (labels.some(([other]) => other === label)) this.fail(`${name} has ${label} twice`)
      if (labels.length >= LABELS_MAX) this.fail(`${name} has more than ${LABELS_MAX} labels`)
      labels.push([label, withoutEscapes(value)])
      comma = found?.[3] ?? ''
      at = LABEL.lastIndex
    }
  }

  #add(sample: ParsedSample): void {
    if (this.#seen.size >= this.#seriesMax) this.fail(`more than ${this.#seriesMax} series`)
    const key = seriesKey(sample)
    if (this.#seen.has(key)) this.fail(`the same series of ${sample.name} twice`)
    this.#seen.add(key)
    const family = this.#claims.get(sample.name) ?? this.#open(sample.name, 'untyped')
    this.#checkParts(family, sample)
    family.lines.push(this.#write(sample))
  }

  #checkParts({ name, type }: OpenFamily, sample: ParsedSample): void {
    const has = (label: string) => sample.labels.some(([other]) => other === label)
    if (type === 'histogram') {
      if (sample.name === name) this.fail(`${name} is a histogram and has no value of its own`)
      if (sample.name === `${name}_bucket` && !has('le')) this.fail(`a bucket of ${name} lacks le`)
    }
    if (type === 'summary' && sample.name === name && !has('quantile')) {
      this.fail(`a value of the summary ${name} lacks quantile`)
    }
  }
}

/** The same for the same series: the order of labels says nothing, nor does an empty label. */
function seriesKey({ name, labels }: ParsedSample): string {
  const told = labels.filter(([, value]) => value !== '')
  if (told.length > 1) told.sort(([one], [other]) => (one < other ? -1 : 1))
  let key = name
  for (const [label, value] of told) key += `\n${label}=${value.length}:${value}`
  return key
}

function withoutEscapes(text: string): string {
  if (!text.includes('\\')) return text
  return text.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
}

function shorten(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}

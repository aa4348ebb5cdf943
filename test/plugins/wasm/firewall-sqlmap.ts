/**
 * The payloads of sqlmap, set into statements as careless applications do. They are fetched from
 * PyPI once and kept beside the sources; where that cannot be, there are none.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const VERSION = '1.10.10'
const KEPT = join(import.meta.dirname, '../../../.cache', `sqlmap-${VERSION}`)
const FETCH_TIMEOUT_MS = 30_000
const FOLDER = 'sqlmap/data/xml'
const FILES = ['boolean_blind', 'error_based', 'inline_query', 'stacked_queries', 'time_blind']

/** The folder with sqlmap's data, or null with a word on why there is none. */
export async function fetchSqlmap(): Promise<string | null> {
  const folder = join(KEPT, FOLDER)
  if (existsSync(folder)) return folder
  const draft = `${KEPT}.${process.pid}`
  mkdirSync(draft, { recursive: true })
  const download = `python3 -m pip download -q --no-deps -d . sqlmap==${VERSION}`
  const script = `${download} && python3 -m zipfile -e *.whl .`
  const child = Bun.spawn(['sh', '-c', script], {
    cwd: draft,
    stdout: 'ignore',
    stderr: 'ignore',
    timeout: FETCH_TIMEOUT_MS,
  })
  if ((await child.exited) === 0) {
    if (!existsSync(KEPT)) renameSync(draft, KEPT)
    return folder
  }
  rmSync(draft, { recursive: true, force: true })
  process.stderr.write(`sqlmap ${VERSION} cannot be fetched: its payloads are not tried\n`)
  return null
}

interface Injection {
  /** The family of the payload, and whether it may be for PostgreSQL. */
  readonly group: string
  readonly sql: string
}

function textOf(xml: string, tag: string): string {
  const found = new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(xml)?.[1] ?? ''
  return found.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}

/** What sqlmap sets in for its marks. */
function filled(payload: string): string {
  const marks: readonly (readonly [RegExp, string])[] = [
    [/\[RANDNUM\d*\]/g, '5821'],
    [/\[RANDSTR\d*\]/g, 'wXyZ'],
    [/\[(SLEEPTIME|DELAYED)\]/g, '5'],
    [/\[DELIMITER_(START|STOP)\]/g, 'qxjvq'],
    [/\[ORIGVALUE\]/g, '1'],
    [/\[INFERENCE\]/g, 'ASCII(SUBSTRING((SELECT version())::text FROM 1 FOR 1))>64'],
    [/\[QUERY\]/g, 'SELECT version()'],
    [/\[GENERIC_SQL_COMMENT\]/g, '-- wXyZ'],
    [/\[\w+_REPLACE\]/g, 'q'],
  ]
  return marks.reduce((text, [mark, value]) => text.replace(mark, value), payload)
}

/** Where values stand in statements, with what breaks out of there. */
const PLACES: readonly (readonly [string, string, string])[] = [
  ['SELECT name, price FROM products WHERE id = 1', ' ', ' ORDER BY name'],
  ["SELECT name, price FROM products WHERE kind = 'x", "' ", " AND 'wXyZ'='wXyZ' ORDER BY name"],
  [
    "SELECT name, price FROM products WHERE (kind = 'x",
    "') ",
    " AND ('wXyZ'='wXyZ') ORDER BY name",
  ],
]

/** Every payload in every place. */
export function* injections(folder: string): Generator<Injection> {
  for (const file of FILES) {
    const xml = readFileSync(join(folder, 'payloads', `${file}.xml`), 'utf8')
    for (const [, body = ''] of xml
      .replace(/<!--[\s\S]*?-->/g, '')
      .matchAll(/<test>([\s\S]*?)<\/test>/g)) {
      const payload = filled(textOf(textOf(body, 'request'), 'payload'))
      const comment = filled(textOf(body, 'comment'))
      const dbms = textOf(body, 'dbms')
      // Payloads that take the place of a value stand in no WHERE.
      const isOurs = dbms === '' || dbms.includes('PostgreSQL')
      const group = `${file} ${isOurs ? 'PostgreSQL' : 'other'}`
      const begins = /^(AND|OR|;|UNION|PROCEDURE)/i.test(payload)
      for (const [before, out, behind] of PLACES) {
        if (begins)
          yield { group, sql: `${before}${out}${payload}${comment === '' ? behind : comment}` }
      }
      if (!begins) yield { group, sql: `SELECT name FROM products WHERE id = ${payload}` }
    }
  }
  for (const [before, out] of PLACES) {
    for (let columns = 1; columns <= 10; columns++) {
      for (const all of ['', 'ALL ']) {
        const nulls = Array.from({ length: columns }, () => 'NULL').join(',')
        const sql = `${before}${out}UNION ${all}SELECT ${nulls}-- wXyZ`
        yield { group: 'union_query PostgreSQL', sql }
        const told = 'CHR(113)||CHR(120)||COALESCE(version()::text,CHR(32))||CHR(113)'
        const marked = `${told}${',NULL'.repeat(columns - 1)}`
        yield {
          group: 'union_query PostgreSQL',
          sql: `${before}${out}UNION ${all}SELECT ${marked}-- wXyZ`,
        }
      }
    }
  }
}

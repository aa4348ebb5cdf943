/** Reads the report of `bun test --reporter=junit`: who passed, failed, was skipped, and why. */

export interface NamedTest {
  readonly file: string
  /** With the names of the groups around it. */
  readonly name: string
}

export interface FailedTest extends NamedTest {
  /** The error, with where it was thrown; "" where the report has none. */
  readonly error: string
}

export interface SkippedTest extends NamedTest {
  /** What stands in its name as `(needs …)` or `(skipped: …)`; null where nothing does. */
  readonly reason: string | null
}

export interface TestReport {
  readonly passed: number
  readonly failed: readonly FailedTest[]
  readonly skipped: readonly SkippedTest[]
  /** Files with at least one test in the report. */
  readonly files: ReadonlySet<string>
}

/** Bun escapes `<` and `>` in every text, so that tags are found without a whole XML parser. */
const TEST_CASE = /<testcase\b([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs
const FAILURE = /<(?:failure|error)\b([^>]*?)(?:\/>|>(.*?)<\/(?:failure|error)>)/s
const REASON = /\((?:needs|skipped:) ([^()]+)\)/

export function readReport(xml: string): TestReport {
  let passed = 0
  const failed: FailedTest[] = []
  const skipped: SkippedTest[] = []
  const files = new Set<string>()
  for (const [, attributes = '', body = ''] of xml.matchAll(TEST_CASE)) {
    const file = attribute(attributes, 'file')
    files.add(file)
    const failure = FAILURE.exec(body)
    if (failure !== null) failed.push({ file, name: nameOf(attributes), error: errorOf(failure) })
    else if (/<skipped\b/.test(body)) skipped.push(skippedTest(file, nameOf(attributes)))
    else passed++
  }
  return { passed, failed, skipped, files }
}

function nameOf(attributes: string): string {
  // Bun names the groups from the inside out.
  const groups = attribute(attributes, 'classname').split(' > ').reverse()
  return [...groups, attribute(attributes, 'name')].filter((part) => part !== '').join(' > ')
}

function errorOf([, attributes = '', text = '']: readonly string[]): string {
  return text === '' ? attribute(attributes, 'message') : unescaped(text)
}

function skippedTest(file: string, name: string): SkippedTest {
  return { file, name, reason: REASON.exec(name)?.[1] ?? null }
}

function attribute(attributes: string, name: string): string {
  return unescaped(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? '')
}

function unescaped(text: string): string {
  return text.replace(/&(lt|gt|quot|apos|amp|#\d+);/g, (_, entity: string) => characterOf(entity))
}

const ENTITIES: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  amp: '&',
}

function characterOf(entity: string): string {
  return ENTITIES[entity] ?? String.fromCodePoint(Number(entity.slice(1)))
}

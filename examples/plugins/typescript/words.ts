/**
 * A plugin without any SDK: it refuses statements in which a forbidden word stands, and counts
 * them. The words are in FORBIDDEN, with commas between them. `plugin.ts` beside it is the part
 * that every plugin in TypeScript needs.
 */
import { bytesOf, log, type Params, serve, terminate } from './plugin.ts'

const forbidden = (process.env['FORBIDDEN'] ?? 'truncate').toLowerCase().split(',')
let refused = 0

/** The SQL of a Query, or of a Parse, which has the name of the statement before it. */
function statementIn(request: Uint8Array): string {
  const type = String.fromCharCode(request[0] ?? 0)
  const texts = Buffer.from(request.subarray(5)).toString().split('\0')
  if (type === 'Q') return texts[0] ?? ''
  return type === 'P' ? (texts[1] ?? '') : ''
}

/** Is given whole messages; only the first one is a statement. */
function onTrafficFromClient(params: Params): Params {
  const statement = statementIn(bytesOf(params, 'request')).toLowerCase()
  const word = forbidden.find((each) => statement.includes(each))
  if (word === undefined) return params
  refused++
  log('warn', 'refused a statement', { word })
  return terminate(params)
}

/** What stands on the gateway's page of metrics, with the label plugin. */
const metrics = (): string =>
  `# HELP words_refused_total Statements refused because of a word.
# TYPE words_refused_total counter
words_refused_total ${refused}
`

await serve({
  name: 'words-typescript',
  version: '0.1.0',
  description: 'Refuses statements with a forbidden word',
  hooks: { 16: ['OnTrafficFromClient', onTrafficFromClient] },
  metrics,
})

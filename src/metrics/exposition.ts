/** Prometheus' text format 0.0.4, written: samples, families, and a whole page. */
import type { Family } from './family.ts'

/** What a page of `renderPage` is, as HTTP says it. */
export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** One sample; `value` and `timestamp` as they stand on a page, "" for no timestamp. */
export function sampleLine(
  name: string,
  labels: readonly (readonly [name: string, value: string])[],
  value: string,
  timestamp: string,
): string {
  const written = labels.map(([label, text]) => `${label}="${escapeLabelValue(text)}"`)
  const braces = written.length === 0 ? '' : `{${written.join(',')}}`
  const moment = timestamp === '' ? '' : ` ${timestamp}`
  return `${name}${braces} ${value}${moment}`
}

function escapeLabelValue(text: string): string {
  if (!/[\\\n"]/.test(text)) return text
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/"/g, '\\"')
}

/** A page of families that share no name: each once, with one line of help and one of type. */
export function renderPage(families: readonly Family[]): string {
  return families.map(renderFamily).join('\n')
}

function renderFamily(family: Family): string {
  const help = family.help === '' ? '' : `# HELP ${family.name} ${family.help}\n`
  const type = `# TYPE ${family.name} ${family.type}\n`
  const samples = family.lines.map((line) => `${line}\n`).join('')
  return `${help}${type}${samples}`
}

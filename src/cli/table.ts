/** Writes tables for people: columns aligned, numbers to the right, nothing that moves a cursor. */
import { styleText } from 'node:util'
import { escapeControls } from '../base/log-text.ts'

export type Colour = 'green' | 'yellow' | 'red' | 'gray' | 'bold'

/** A number stands to the right; a text may have a colour. */
export type Cell = string | number | { readonly text: string; readonly colour: Colour }

const GAP = '  '

/** The rows below their heads, without a line feed at the end. */
export function renderTable(
  heads: readonly string[],
  rows: readonly (readonly Cell[])[],
  colours: boolean,
): string {
  const right = heads.map((_, column) => rows.every((row) => typeof row[column] === 'number'))
  const all = [heads.map((text) => ({ text, colour: 'bold' }) as const), ...rows]
  const widths = heads.map((_, column) =>
    Math.max(...all.map((row) => Bun.stringWidth(textOf(row[column] ?? '')))),
  )
  const lines = all.map((row) => {
    const cells = heads.map((_, column) => {
      const cell = row[column] ?? ''
      const gap = ' '.repeat((widths[column] ?? 0) - Bun.stringWidth(textOf(cell)))
      const shown = painted(cell, colours)
      return right[column] && rows.length > 0 ? gap + shown : shown + gap
    })
    return cells.join(GAP).trimEnd()
  })
  return lines.join('\n')
}

/** The text in its colour, where there are colours. */
export function painted(cell: Cell, colours: boolean): string {
  const text = textOf(cell)
  if (!colours || typeof cell !== 'object') return text
  return styleText(cell.colour, text, { validateStream: false })
}

function textOf(cell: Cell): string {
  return escapeControls(String(typeof cell === 'object' ? cell.text : cell))
}

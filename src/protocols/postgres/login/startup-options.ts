/** The parameter `options` of a startup packet: switches of a server's command line. */
import type { Refused } from '../../protocol.ts'
import type { Parameter } from './startup-parameters.ts'

/** What C takes for space. */
const SPACE = ' \t\n\v\f\r'

export type Options =
  | { readonly kind: 'options'; readonly settings: readonly Parameter[] }
  | { readonly kind: 'refused'; readonly refused: Refused }

/** Settings of `-c name=value`, `-cname=value` and `--name=value`, in order. */
export function splitOptions(text: string): Options {
  const settings: Parameter[] = []
  const words = wordsOf(text)
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!
    let setting: string | undefined
    if (word === '-c') setting = words[++index]
    else if (word.startsWith('-c')) setting = word.slice(2)
    else if (word.startsWith('--') && word.length > 2) setting = word.slice(2)
    else return refused(`"${word}" in options is not supported; use -c name=value`)
    const equals = setting?.indexOf('=') ?? -1
    if (setting === undefined || equals < 1) {
      return refused(`"${setting ?? word}" in options requires a value: use -c name=value`)
    }
    // A command line may write dashes in a name.
    settings.push([setting.slice(0, equals).replaceAll('-', '_'), setting.slice(equals + 1)])
  }
  return { kind: 'options', settings }
}

/** Words between spaces; a backslash takes the next character as it is. */
function wordsOf(text: string): string[] {
  const words: string[] = []
  let word = ''
  let begun = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (SPACE.includes(character)) {
      if (begun) words.push(word)
      word = ''
      begun = false
      continue
    }
    begun = true
    // As in PostgreSQL, a backslash at the very end is nothing.
    word += character === '\\' ? (text[++at] ?? '') : character
  }
  if (begun) words.push(word)
  return words
}

function refused(message: string): Options {
  return { kind: 'refused', refused: { code: '42601', message } }
}

/**
 * Our own sentences for the errors of the YAML parser. Its messages may quote the text, and the
 * text may be a secret.
 */

const SENTENCES: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'has a malformed anchor or alias',
  BAD_COLLECTION_TYPE: 'has a tag that does not fit its value',
  BAD_DIRECTIVE: 'has a malformed directive (a line that starts with %)',
  BAD_DQ_ESCAPE: 'has an unknown escape in double quotes; use single quotes to keep a backslash',
  BAD_INDENT: 'is indented differently from the lines it belongs to',
  BAD_SCALAR_START: 'starts with a character that needs quotes around the text',
  BLOCK_AS_IMPLICIT_KEY: 'has a second "key: value" on one line; put it on a line of its own',
  BLOCK_IN_FLOW: 'has indented lines inside brackets',
  KEY_OVER_1024_CHARS: 'has a key longer than 1024 characters',
  MISSING_CHAR: 'lacks a character: a colon, comma, quote, bracket or space',
  MULTILINE_IMPLICIT_KEY: 'has a key over several lines; is a colon or a quote missing?',
  MULTIPLE_DOCS: 'has a second document after ---; put everything into one',
  RESOURCE_EXHAUSTION: 'is nested too deeply',
  TAB_AS_INDENT: 'is indented with a tab; use spaces',
  TAG_RESOLVE_FAILED: 'has a tag (a word that starts with !) that is unknown here',
}

/** A sentence for the code of a parser's error. */
export function syntaxSentence(code: string): string {
  return SENTENCES[code] ?? 'is not YAML: something here does not belong'
}

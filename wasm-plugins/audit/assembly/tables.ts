/** Where a table is expected: which words are its name, which stand before it, which neither. */
import { advance, begun, Expected, frame, JOINED, Now, verbs } from './frames'
import { addTable, isQuery, readName } from './names'
import { again, from, next, token, Token, word } from './scanner'
import { Word } from './words'

/** Words that are no table's name without quotes. */
export function isReserved(): bool {
  switch (word) {
    case Word.Select:
    case Word.With:
    case Word.From:
    case Word.Where:
    case Word.Group:
    case Word.Having:
    case Word.Order:
    case Word.Limit:
    case Word.Offset:
    case Word.Fetch:
    case Word.For:
    case Word.Union:
    case Word.Intersect:
    case Word.Except:
    case Word.Window:
    case Word.Returning:
    case Word.On:
    case Word.Using:
    case Word.As:
    case Word.Not:
    case Word.Into:
    case Word.All:
    case Word.Distinct:
    case Word.When:
    case Word.Join:
    case Word.To:
    case Word.Table:
      return true
    default:
      return false
  }
}

/** Words that may stand between what announces a table and its name. */
export function isPassedOver(): bool {
  switch (word) {
    case Word.Only:
      return true
    case Word.Lateral:
      return Now.expected == Expected.Source
    case Word.Table:
      return Now.expected != Expected.Source
    case Word.Concurrently:
    case Word.Verbose:
    case Word.Full:
    case Word.Freeze:
    case Word.Analyze:
      return Now.expected == Expected.Object
    default:
      return false
  }
}

/** True if the token behind the present one is this word; the present one stays. */
export function isFollowedBy(wanted: Word): bool {
  const mark = from
  next()
  const found = word == wanted
  again(mark)
  return found
}

/** True if the token behind the present one may be a name; the present one stays. */
export function isFollowedByName(): bool {
  const mark = from
  next()
  const found = token == Token.Quoted || (token == Token.Word && !isReserved())
  again(mark)
  return found
}

/** Reads a word where a table is expected; false where it must be read as any other word. */
export function readExpected(): bool {
  if (isPassedOver()) {
    advance()
    return true
  }
  switch (word) {
    case Word.Temp:
    case Word.Temporary:
    case Word.Unlogged:
    case Word.Local:
    case Word.Global:
      if (Now.expected != Expected.Target || !isFollowedByName()) break
      advance()
      return true
    case Word.If:
      if (Now.expected != Expected.Object) break
      if (!isFollowedBy(Word.Not) && !isFollowedBy(Word.Exists)) break
      advance()
      while (word == Word.Not || word == Word.Exists) advance()
      return true
    case Word.Rows:
      if (Now.expected != Expected.Source || !isFollowedBy(Word.From)) break
      Now.expected = Expected.Nothing
      advance()
      advance()
      return true
    case Word.Values:
      // Only a list of values opens a parenthesis behind it; then it is none of a table's names.
      if (Now.expected == Expected.Source && verbs[frame()] == JOINED) {
        Now.expected = Expected.Nothing
        return false
      }
      break
    default:
      if (!isReserved()) break
      Now.expected = Expected.Nothing
      return false
  }
  readTable()
  return true
}

export function readTable(): void {
  const announced = Now.expected
  Now.expected = Expected.Nothing
  begun()
  readName()
  Now.previous = Word.None
  if (announced == Expected.Source && (token == Token.Open || isQuery())) return
  addTable()
}

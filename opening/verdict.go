package opening

// A FormVerdict says what became of a bid's price form. Numbers and order are part of the format: the first that
// applies counts.
type FormVerdict int

// The form verdicts.
const (
	VerdictReplaced FormVerdict = iota
	VerdictWithdrawn
	VerdictReturned          // excluded
	VerdictBidderUnconfirmed // by FREEZE
	VerdictSystemFault       // lost at FREEZE, before any price was seen
	VerdictPending
	VerdictLock
	VerdictCommitment
	VerdictChunk
	VerdictForm
	VerdictValid
	formVerdicts
)

var formVerdictNames = [formVerdicts]string{"REPLACED", "WITHDRAWN", "RETURNED", "BIDDER_UNCONFIRMED", "SYSTEM_FAULT",
	"PENDING", "BIDDER_FAULT(lock)", "BIDDER_FAULT(commitment)", "BIDDER_FAULT(chunk)", "BIDDER_FAULT(form)", "VALID"}

var formVerdictTexts = [formVerdicts]string{"已被替换", "已撤回", "已退回，未开启", "未确认，密封不开", "平台原因未能解密",
	"等待托管人释放密钥", "投标人原因未能解密：密钥锁", "投标人原因未能解密：承诺", "投标人原因未能解密：数据块", "投标人原因未能解密：开标一览表", "已开"}

// String is the verdict's name in records and reports.
func (v FormVerdict) String() string {
	if v < 0 || v >= formVerdicts {
		return "UNKNOWN"
	}
	return formVerdictNames[v]
}

// Text is the verdict in Chinese, as pages and reports show it.
func (v FormVerdict) Text() string {
	if v < 0 || v >= formVerdicts {
		return "未知"
	}
	return formVerdictTexts[v]
}

// A FileVerdict says what became of one section of files; for auditors.
type FileVerdict int

// The file verdicts, by their numbers in the format.
const (
	FileOK FileVerdict = iota
	FileCommitment
	FileChunk
	FileLength
	FileSystemFault // bytes missing, or the file half missing or not fitting
	FileNotCovered  // the bid is not opened
	fileVerdicts
)

var fileVerdictNames = [fileVerdicts]string{"ok", "BIDDER_FAULT(commitment)", "BIDDER_FAULT(chunk)",
	"BIDDER_FAULT(length)", "SYSTEM_FAULT", "not covered"}

// String is the verdict's name in records and reports.
func (v FileVerdict) String() string {
	if v < 0 || v >= fileVerdicts {
		return "unknown"
	}
	return fileVerdictNames[v]
}

# Recomputes the main results of the report from data/analysis.csv. Base R only; research use only.
#
# Run in the unpacked archive:  Rscript recompute.R
# Each number stands beside the report's. It ends with status 1 where one differs by more than one part
# in a million.

options(digits = 10, stringsAsFactors = FALSE, width = 120)

table_of <- function(path) {
  read.csv(path, colClasses = "character", na.strings = character(0), fileEncoding = "UTF-8")
}

readings <- table_of("data/analysis.csv")
readings$percent <- as.numeric(readings$value_percent)
settings <- table_of("results/settings.csv")
main <- table_of("results/main.csv")

setting <- function(name) settings$value[settings$name == name]

# One reading per case and reader: the first session that is asked for, its first replicate.
first_there <- function(rows, sessions) {
  rows <- rows[rows$session %in% sessions, ]
  rows <- rows[order(match(rows$session, sessions), match(rows$replicate, setting("replicate"))), ]
  rows[!duplicated(rows[c("case", "reader")]), ]
}

is_algorithm <- readings$reader == "algorithm"
readers <- first_there(readings[!is_algorithm, ], setting("session")[1])
algorithm <- first_there(readings[is_algorithm, ], setting("algorithm_session"))

# The panel: median or mean of the readers of a case.
middle <- if (setting("reference") == "mean") mean else median
panel <- tapply(readers$percent, readers$case, middle)
cases <- intersect(algorithm$case, names(panel))
x <- as.numeric(panel[cases])
y <- algorithm$percent[match(cases, algorithm$case)]

found <- list()
note <- function(name, value, low = NA, high = NA) {
  found[[name]] <<- c(value = value, low = low, high = high)
}

log2_of <- function(percent) log2(percent + 0.1)

# Bland-Altman: differences algorithm - panel, mean with t limits, mean -/+ 1.96 SD with the limits of 1999.
bland_altman <- function(d, scale) {
  n <- length(d)
  if (n < 2) return(invisible())
  s <- sd(d)
  t <- qt(0.975, n - 1)
  z <- qnorm(0.975)
  half <- t * s * sqrt(1 / n + z^2 / (2 * (n - 1)))
  note(paste("ba_bias", scale), mean(d), mean(d) - t * s / sqrt(n), mean(d) + t * s / sqrt(n))
  lower <- mean(d) - z * s
  upper <- mean(d) + z * s
  note(paste("ba_loa_lower", scale), lower, lower - half, lower + half)
  note(paste("ba_loa_upper", scale), upper, upper - half, upper + half)
}

# Lin's concordance, moments over n, limits on Fisher's z scale (Lin 1989, corrected 2000).
concordance <- function(x, y, scale) {
  n <- length(x)
  if (n < 3 || sd(x) == 0 || sd(y) == 0) return(invisible())
  r <- cor(x, y)
  u2 <- (mean(y) - mean(x))^2 / (sd(x) * sd(y) * (n - 1) / n)
  w <- sd(y) / sd(x)
  accuracy <- 2 / (w + 1 / w + u2)
  ccc <- r * accuracy
  if (ccc > 1 - 1e-14) return(note(paste("lin_ccc", scale), ccc, ccc, ccc))
  left <- 1 - ccc^2
  v <- (1 - r^2) * accuracy^2 / left +
    2 * ccc^2 * accuracy * (1 - ccc) * u2 / left^2 -
    ccc^2 * accuracy^2 * u2^2 / (2 * left^2)
  half <- qnorm(0.975) * sqrt(v / (n - 2))
  note(paste("lin_ccc", scale), ccc, tanh(atanh(ccc) - half), tanh(atanh(ccc) + half))
}

# ICC(2,1): two-way random effects, absolute agreement, a single reading; F limits (McGraw and Wong 1996).
icc21 <- function(m, scale) {
  n <- nrow(m)
  k <- ncol(m)
  if (n < 2 || k < 2) return(invisible())
  rows <- k * sum((rowMeans(m) - mean(m))^2) / (n - 1)
  columns <- n * sum((colMeans(m) - mean(m))^2) / (k - 1)
  rest <- sweep(sweep(m, 1, rowMeans(m)), 2, colMeans(m)) + mean(m)
  error <- sum(rest^2) / ((n - 1) * (k - 1))
  icc <- (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
  a <- k * icc / (n * (1 - icc))
  b <- 1 + k * icc * (n - 1) / (n * (1 - icc))
  v <- (a * columns + b * error)^2 / ((a * columns)^2 / (k - 1) + (b * error)^2 / ((n - 1) * (k - 1)))
  low_f <- qf(0.975, n - 1, v)
  high_f <- qf(0.975, v, n - 1)
  among <- k * columns + (k * n - k - n) * error
  note(
    paste("ICC(2,1)", scale), icc,
    n * (rows - low_f * error) / (low_f * among + n * rows),
    n * (high_f * rows - error) / (among + n * high_f * rows)
  )
}

# Cohen's kappa of algorithm and panel in classes. A border "<=5" belongs to the class below it.
classes_of <- function(percent, borders) {
  percent <- round(percent, 9)
  class <- rep(1, length(percent))
  for (border in borders) {
    below <- startsWith(border, "<=")
    at <- as.numeric(sub("^<=?", "", border))
    class <- class + if (below) percent > at else percent >= at
  }
  class
}

cohen <- function(x, y, borders) {
  levels <- seq_len(length(borders) + 1)
  table <- table(factor(classes_of(x, borders), levels), factor(classes_of(y, borders), levels))
  share <- table / sum(table)
  agreed <- sum(diag(share))
  chance <- sum(rowSums(share) * colSums(share))
  if (chance < 1) note("cohen_kappa classes", (agreed - chance) / (1 - chance))
}

if (length(cases) > 0) {
  bland_altman(y - x, "none")
  bland_altman(log2_of(y) - log2_of(x), "log2(x+0.1)")
  concordance(x, y, "none")
  concordance(log2_of(x), log2_of(y), "log2(x+0.1)")
  if (length(setting("border")) > 0) cohen(x, y, setting("border"))
}
if (nrow(readers) > 0) {
  grid <- tapply(readers$percent, list(readers$case, readers$reader), mean)
  grid <- grid[rowSums(is.na(grid)) == 0, , drop = FALSE]
  icc21(grid, "none")
  icc21(log2_of(grid), "log2(x+0.1)")
}

worst <- 0
for (row in seq_len(nrow(main))) {
  name <- paste(main$statistic[row], main$scale[row])
  told <- as.numeric(unlist(main[row, c("value", "low", "high")]))
  ours <- found[[name]]
  if (is.null(ours)) ours <- rep(NA, 3)
  both <- !is.na(told) & is.finite(ours)
  if (any(both)) worst <- max(worst, abs(told - ours)[both] / pmax(1, abs(told[both])))
  cat(sprintf("%-28s %s\n%-28s %s\n", name, paste(format(ours), collapse = "  "),
              "  in the report", paste(format(told), collapse = "  ")))
}
cat(sprintf("Largest difference: %.2g\n", worst))
if (worst > 1e-6) quit(status = 1)

-- What lies where somebody said that it lies, and not where its address is.

-- name: hostsOfASN :many
SELECT DISTINCT addr FROM exposures WHERE asn = ? AND asn <> 0;

-- name: hostsOfCountry :many
SELECT DISTINCT addr FROM exposures WHERE country = ? AND country <> '';

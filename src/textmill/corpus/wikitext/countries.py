"""Countries that a wiki shows by a flag and a name: `{{USA}}` is `United States`, and `美国` in the Chinese Wikipedia.

The codes are ISO 3166's and, where they differ, the Olympic committee's; the wikis know both.
"""

_NAMES = """
    ARG Argentina 阿根廷|AUS Australia 澳大利亚|AUT Austria 奥地利|BAN Bangladesh 孟加拉国|BGD Bangladesh 孟加拉国
    BEL Belgium 比利时|BGR Bulgaria 保加利亚|BUL Bulgaria 保加利亚|BLR Belarus 白俄罗斯|BRA Brazil 巴西|CAN Canada 加拿大
    CHE Switzerland 瑞士|SUI Switzerland 瑞士|CHI Chile 智利|CHL Chile 智利|CHN China 中国|PRC China 中国
    COL Colombia 哥伦比亚|CRO Croatia 克罗地亚|HRV Croatia 克罗地亚|CUB Cuba 古巴|CZE Czech_Republic 捷克|DEN Denmark 丹麦
    DNK Denmark 丹麦|DEU Germany 德国|GER Germany 德国|EGY Egypt 埃及|ESP Spain 西班牙|EST Estonia 爱沙尼亚
    ETH Ethiopia 埃塞俄比亚|FIN Finland 芬兰|FRA France 法国|GBR United_Kingdom 英国|ENG England 英格兰|SCO Scotland 苏格兰
    WAL Wales 威尔士|GRC Greece 希腊|GRE Greece 希腊|HKG Hong_Kong 香港|HUN Hungary 匈牙利|IDN Indonesia 印度尼西亚
    INA Indonesia 印度尼西亚|IND India 印度|IRL Ireland 爱尔兰|IRN Iran 伊朗|IRI Iran 伊朗|IRQ Iraq 伊拉克|ISL Iceland 冰岛
    ISR Israel 以色列|ITA Italy 意大利|JAM Jamaica 牙买加|JPN Japan 日本|KAZ Kazakhstan 哈萨克斯坦|KEN Kenya 肯尼亚
    KHM Cambodia 柬埔寨|KOR South_Korea 韩国|PRK North_Korea 朝鲜|KSA Saudi_Arabia 沙特阿拉伯|SAU Saudi_Arabia 沙特阿拉伯
    LTU Lithuania 立陶宛|LVA Latvia 拉脱维亚|LAT Latvia 拉脱维亚|MAC Macau 澳门|MAR Morocco 摩洛哥|MAS Malaysia 马来西亚
    MYS Malaysia 马来西亚|MEX Mexico 墨西哥|MGL Mongolia 蒙古|MNG Mongolia 蒙古|MMR Myanmar 缅甸|MYA Myanmar 缅甸
    NED Netherlands 荷兰|NLD Netherlands 荷兰|NGA Nigeria 尼日利亚|NGR Nigeria 尼日利亚|NOR Norway 挪威
    NZL New_Zealand 新西兰|PAK Pakistan 巴基斯坦|PER Peru 秘鲁|PHI Philippines 菲律宾|PHL Philippines 菲律宾|POL Poland 波兰
    POR Portugal 葡萄牙|PRT Portugal 葡萄牙|ROU Romania 罗马尼亚|RSA South_Africa 南非|ZAF South_Africa 南非
    RUS Russia 俄罗斯|URS Soviet_Union 苏联|SGP Singapore 新加坡|SIN Singapore 新加坡|SRB Serbia 塞尔维亚
    SVK Slovakia 斯洛伐克|SVN Slovenia 斯洛文尼亚|SLO Slovenia 斯洛文尼亚|SWE Sweden 瑞典|THA Thailand 泰国
    TUR Turkey 土耳其|ROC Republic_of_China 中華民國|TWN Taiwan 臺灣|TPE Chinese_Taipei 中華臺北|UKR Ukraine 乌克兰
    ARE United_Arab_Emirates 阿联酋|UAE United_Arab_Emirates 阿联酋|URU Uruguay 乌拉圭|URY Uruguay 乌拉圭
    USA United_States 美国|UZB Uzbekistan 乌兹别克斯坦|VEN Venezuela 委内瑞拉|VIE Vietnam 越南|VNM Vietnam 越南
"""
NAMES: dict[str, tuple[str, str]] = {}
"""From a code to the English and the Chinese name."""
for _code, _english, _chinese in (entry.split() for line in _NAMES.split("\n") for entry in line.split("|") if entry.strip()):
    NAMES[_code] = (_english.replace("_", " "), _chinese)
_CHINESE_NAMES = dict(NAMES.values())


def named(code: str, chinese: bool) -> str:
    """What `{{flag|USA}}` or `{{flag|Germany}}` shows: the country's name in the wiki's language, else what was given."""
    if code in NAMES:
        return NAMES[code][chinese]
    return _CHINESE_NAMES.get(code, code) if chinese else code
